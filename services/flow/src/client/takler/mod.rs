//! `takler_client`: Takler's client.

mod specification;
mod arguments;
mod help;
mod completion;
mod commands;

use std::io;

use super::console::{Console, Environment};
use super::{FAILURE, SUCCESS};
use arguments::{Arguments, UsageError};
use specification::PROGRAM;

/// Runs a command line, given behind the program's name. The exit code is 1 for every failure.
///
/// # Errors
/// A stream fails.
pub fn run(
    words: &[String],
    environment: &Environment,
    console: &mut Console<'_>,
) -> io::Result<u8> {
    let arguments = match Arguments::parse(words) {
        Ok(arguments) => arguments,
        Err(UsageError { text, path }) => {
            writeln!(console.err, "Error: {text}")?;
            match path {
                Some(path) => writeln!(console.err, "{}", help::usage(&path))?,
                None => {
                    writeln!(console.err, "Run '{} --help' for usage.", PROGRAM.name)?;
                }
            }
            return Ok(FAILURE);
        }
    };
    let is_group = !arguments.command().children.is_empty();
    if arguments.is_help || is_group {
        write!(console.out, "{}", help::help(&arguments.path))?;
        return Ok(SUCCESS);
    }
    if arguments.command().name == "help" {
        return help_command(&arguments.words, console);
    }
    if let [_, completion, shell] = arguments.path[..]
        && completion.name == "completion"
    {
        completion::generate(shell.name, console.out);
        return Ok(SUCCESS);
    }
    commands::run(&arguments, environment, console)
}

/// `help COMMAND…`.
fn help_command(words: &[String], console: &mut Console<'_>) -> io::Result<u8> {
    let mut path = vec![&PROGRAM];
    for word in words {
        match path.last().and_then(|command| command.child(word)) {
            Some(child) => path.push(child),
            None => {
                let words = words.join("` `");
                writeln!(console.err, "Unknown help topic [`{words}`]")?;
                write!(console.err, "{}", help::usage(&[&PROGRAM]))?;
                return Ok(SUCCESS);
            }
        }
    }
    write!(console.out, "{}", help::help(&path))?;
    Ok(SUCCESS)
}
