//! Help in the layout of Go's cobra, which users and their scripts know.

use std::fmt::Write;

use super::specification::{Command, FlagKind};

/// The least width of the names in a list of commands.
const MIN_NAME_WIDTH: usize = 11;

/// The help of the last command of a path from the program down.
pub(super) fn help(path: &[&Command]) -> String {
    let description = path.last().map_or("", |command| {
        command.description.unwrap_or(command.summary).trim_end()
    });
    format!("{description}\n\n{}", usage(path))
}

/// The same without the summary.
pub(super) fn usage(path: &[&Command]) -> String {
    let names: Vec<_> = path.iter().map(|command| command.name).collect();
    let names = names.join(" ");
    let Some(command) = path.last() else {
        return String::new();
    };
    let mut text = "Usage:\n".to_owned();
    let is_runnable = command.children.is_empty() || path.len() == 1;
    if is_runnable {
        let words = if command.name == "help" {
            " [command]"
        } else {
            ""
        };
        _ = writeln!(text, "  {names}{words} [flags]");
    }
    let listed: Vec<_> = command
        .children
        .iter()
        .filter(|child| child.is_listed)
        .collect();
    if !listed.is_empty() {
        _ = writeln!(text, "  {names} [command]\n\nAvailable Commands:");
        let width = listed.iter().map(|child| child.name.len()).max();
        let width = width.unwrap_or_default().max(MIN_NAME_WIDTH);
        for child in &listed {
            _ = writeln!(text, "  {:width$} {}", child.name, child.summary);
        }
    }
    text += "\nFlags:\n";
    text += &flags(command);
    if !listed.is_empty() {
        _ = writeln!(
            text,
            "\nUse \"{names} [command] --help\" for more information about a command."
        );
    }
    text
}

fn flags(command: &Command) -> String {
    let mut rows: Vec<_> = command
        .flags
        .iter()
        .map(|flag| {
            let (kind, default) = match flag.kind {
                FlagKind::Text => (" string", ""),
                FlagKind::Switch { default: false } => ("", ""),
                FlagKind::Switch { default: true } => ("", " (default true)"),
            };
            let name = format!("      --{}{kind}", flag.name);
            (flag.name, name, format!("{}{default}", flag.usage))
        })
        .collect();
    let usage = format!("help for {}", command.name);
    rows.push(("help", "  -h, --help".to_owned(), usage));
    rows.sort_unstable();
    let width = rows.iter().map(|(_, name, _)| name.len()).max();
    let width = width.unwrap_or_default() + 3;
    let mut text = String::new();
    for (_, name, usage) in rows {
        _ = writeln!(text, "{name:width$}{usage}");
    }
    text
}
