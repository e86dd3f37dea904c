//! The help of `ecflow_client`, in ecFlow's layout.

use std::fmt::Write;

use super::specification::{ALL, Audience, Specification, find};

/// The version of ecFlow that clients and server stand in for.
pub(super) const ECFLOW_VERSION: &str = "5.9.2";

/// The columns of the table of commands, and their width.
const COLUMNS: usize = 5;
const COLUMN_WIDTH: usize = 23;

/// What `--version` tells.
pub(super) fn version() -> String {
    format!(
        "Ecflow version({ECFLOW_VERSION}) tce-flow({})",
        env!("CARGO_PKG_VERSION")
    )
}

/// `--help` on a topic: nothing, `all`, `summary`, `child`, `user` or a command.
pub(super) fn help(topic: &str) -> String {
    match topic {
        "" => overview(),
        "all" => ALL.iter().map(details).collect(),
        "summary" => list("Ecflow client commands:", None),
        "child" => list("Ecflow child client commands:", Some(Audience::Child)),
        "user" => list("Ecflow user client commands:", Some(Audience::User)),
        _ => match find(topic) {
            Some(command) => {
                let mut text = details(command);
                text += VARIABLES;
                if command.audience == Audience::Child {
                    text += CHILD_VARIABLES;
                }
                text
            }
            None => format!(
                "No matching command found, please choose from:\n{}",
                table()
            ),
        },
    }
}

fn overview() -> String {
    format!(
        "\nClient of a workflow server:\n\n{}\n\n\
        ecflow_client provides the command line interface, for interacting with the server:\n\
        Try:\n\n   \
        ecflow_client --help=all       # List all commands, verbosely\n   \
        ecflow_client --help=summary   # One line summary of all commands\n   \
        ecflow_client --help=child     # One line summary of child commands\n   \
        ecflow_client --help=user      # One line summary of user command\n   \
        ecflow_client --help=<cmd>     # Detailed help on each command\n\n\
        Commands:\n{}",
        version(),
        table()
    )
}

fn table() -> String {
    let mut text = "\n".to_owned();
    for row in ALL.chunks(COLUMNS) {
        text += "   ";
        for command in row {
            _ = write!(text, "{:COLUMN_WIDTH$}", command.name);
        }
        text.push('\n');
    }
    text.push('\n');
    text
}

fn list(title: &str, audience: Option<Audience>) -> String {
    let mut text = format!("\n{title}\n\n");
    for command in ALL
        .iter()
        .filter(|one| audience.is_none_or(|wanted| one.audience == wanted))
    {
        let audience = match command.audience {
            Audience::Child => "child",
            Audience::User => "user",
        };
        _ = writeln!(
            text,
            "  {:COLUMN_WIDTH$} {audience:5}  {}",
            command.name, command.summary
        );
    }
    text.push('\n');
    text
}

fn details(command: &Specification) -> String {
    let line = "-".repeat(command.name.len());
    format!(
        "\n{}\n{line}\n\n{}\n{}\n",
        command.name, command.summary, command.usage
    )
}

const VARIABLES: &str = "
Environment of all commands:
  ECF_HOST      host of the server; localhost without it
  ECF_PORT      port of the server; 3141 without it
  ECF_SSL       if set, calls go over TLS; a file: the certificate to trust
  NO_ECF        if set, the client does nothing, with success
  TCE_FLOW_TOKEN_FILE  file with the token of the user, where the server asks for one
";

const CHILD_VARIABLES: &str = "
Environment of jobs:
  ECF_NAME      path of the task
  ECF_PASS      password of the job
  ECF_TRYNO     number of the try
  ECF_RID       id of the job
  ECF_TIMEOUT   seconds for which the server is tried; 86400 without it
  ECF_ZOMBIE_TIMEOUT  seconds for which the server may hold a zombie; 43200 without it
  ECF_HOSTFILE  file with other servers, one host[:port] a line
  ECF_DENIED    if set, the client gives up after two attempts, with failure
";
