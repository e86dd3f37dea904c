//! Scripts by which shells complete command lines.

use std::io::Write;

use clap_complete::Shell;

use super::specification::{Command, FlagKind, PROGRAM};

/// Writes the script for a shell of `completion`'s commands.
pub(super) fn generate(shell: &str, mut out: &mut dyn Write) {
    let shell = match shell {
        "fish" => Shell::Fish,
        "powershell" => Shell::PowerShell,
        "zsh" => Shell::Zsh,
        _ => Shell::Bash,
    };
    clap_complete::generate(shell, &mut described(&PROGRAM), PROGRAM.name, &mut out);
}

fn described(command: &Command) -> clap::Command {
    let flags = command.flags.iter().map(|flag| {
        let argument = clap::Arg::new(flag.name).long(flag.name).help(flag.usage);
        match flag.kind {
            FlagKind::Text => argument,
            FlagKind::Switch { .. } => argument.action(clap::ArgAction::SetTrue),
        }
    });
    let children = command.children.iter().filter(|child| child.is_listed);
    clap::Command::new(command.name)
        .about(command.summary)
        // `help` is one of our own commands.
        .disable_help_subcommand(true)
        .args(flags)
        .subcommands(children.map(described))
}
