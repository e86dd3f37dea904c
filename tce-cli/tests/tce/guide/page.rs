//! A Markdown page with files and transcripts in fenced blocks.
//!
//! A block ```` ```console ```` has commands after `$ `, each followed by its output. Any other block
//! whose fence names a file, such as ```` ```idl shop.idl ````, is written to that file for the
//! transcripts after it.

use super::shell::Shell;

pub(super) struct GuidePage<'p> {
    text: &'p str,
}

impl<'p> GuidePage<'p> {
    pub(super) fn new(text: &'p str) -> Self {
        Self { text }
    }

    /// The page with the present output of its commands. Output that differs only in times stays as it
    /// is.
    pub(super) fn run(&self, shell: &Shell<'_>) -> String {
        let mut out = String::new();
        let mut lines = self.text.lines();
        while let Some(line) = lines.next() {
            out.push_str(line);
            out.push('\n');
            let Some(info) = line.strip_prefix("```") else {
                continue;
            };
            let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            let body = body
                .iter()
                .map(|line| format!("{line}\n"))
                .collect::<String>();
            match info.split_once(' ') {
                None if info == "console" => out.push_str(&transcript(&body, shell)),
                Some((_, name)) => {
                    shell.write(name, &body);
                    out.push_str(&body);
                }
                None => out.push_str(&body),
            }
            out.push_str("```\n");
        }
        out
    }
}

/// Runs the commands of a transcript, and returns it with their output.
fn transcript(body: &str, shell: &Shell<'_>) -> String {
    let written = commands(body);
    let texts: Vec<&str> = written
        .iter()
        .map(|(command, _)| command.as_str())
        .collect();
    let printed = shell.run(&texts);
    let both = written.iter().zip(printed);
    let blocks = both.map(|((command, before), now)| {
        let is_same = masked(before) == masked(&now);
        let output = if is_same { before } else { &now };
        format!("$ {command}\n{output}")
    });
    blocks.collect()
}

/// The commands of a transcript with the output on the page. A command continues after a `\` at the
/// end of its line.
fn commands(body: &str) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    for line in body.lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command.to_owned(), String::new())),
            (None, Some((command, output))) if output.is_empty() && command.ends_with('\\') => {
                command.push('\n');
                command.push_str(line);
            }
            (None, Some((_, output))) => {
                output.push_str(line);
                output.push('\n');
            }
            (None, None) => panic!("no command before `{line}`"),
        }
    }
    commands
}

/// The text without the parts that differ between runs: durations, rates, times and ports.
fn masked(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let indent = line.len() - line.trim_start().len();
        let is_rate = line.contains("calls/s");
        let words = line.split_whitespace().map(|word| match word {
            _ if is_rate && word.chars().all(|c| c.is_ascii_digit()) => "RATE".to_owned(),
            _ => masked_word(word),
        });
        format!("{:indent$}{}", "", words.collect::<Vec<_>>().join(" "))
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn masked_word(word: &str) -> String {
    if let Some((start, rest)) = word.split_once("127.0.0.1:") {
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        return format!("{start}127.0.0.1:PORT{rest}");
    }
    let core = word.trim_matches(|c: char| "\"()[],:;".contains(c));
    let is_time = humantime::parse_rfc3339_weak(core).is_ok();
    let unit = core.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let is_long = unit.len() < core.len() && ["ns", "µs", "ms", "s"].contains(&unit);
    match (is_time, is_long) {
        (false, false) => word.to_owned(),
        _ => word.replace(core, "TIME"),
    }
}
