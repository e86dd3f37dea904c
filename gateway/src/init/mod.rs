//! `tce gateway init`: a commented `services.xml` that is valid and starts as it is.

use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use rustix::rand::{GetRandomFlags, getrandom};

const DIRECT: &str = include_str!("direct.xml");
const MQ: &str = include_str!("mq.xml");
const WITHOUT_LOGIN: &str = include_str!("without_login.xml");
const JWT: &str = include_str!("jwt.xml");
const COMMON: &str = include_str!("common.xml");

/// In bytes: RFC 7518, 3.2, for HS256.
const SECRET: usize = 32;

/// Write a commented services.xml to begin with
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tce gateway init
  tce gateway init --mq --auth jwt chat.xml

The file serves the project of `tce new hello`. An existing file is not overwritten.
Exit status: 0 the file is written, 1 it exists or can't be written, 2 wrong arguments.")]
pub(crate) struct InitCommand {
    /// The file to write
    #[arg(value_name = "SERVICES.XML", default_value = "services.xml")]
    file: PathBuf,
    /// Connect to the servers without a broker; the default
    #[arg(long, conflicts_with = "mq")]
    direct: bool,
    /// Reach the servers by the queues of a broker, such as RabbitMQ
    #[arg(long)]
    mq: bool,
    /// How clients log in
    #[arg(long, value_enum, default_value_t = InitAuth::None)]
    auth: InitAuth,
}

/// A kind of login that `tce gateway init` can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum InitAuth {
    /// They do not log in
    None,
    /// By a JWT, signed with a new secret
    Jwt,
}

/// Why the file is not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InitError {
    #[error("{} exists already: name another file, or remove it", .0.display())]
    Exists(PathBuf),
    #[error("can't write {}: {source}", file.display())]
    Unwritable { file: PathBuf, source: io::Error },
    #[error("the system has no random numbers for a secret: {0}")]
    NoRandomness(io::Error),
}

impl InitCommand {
    pub(crate) fn run(&self) -> Result<(), InitError> {
        let text = self.text()?;
        write_new(&self.file, &text).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => InitError::Exists(self.file.clone()),
            _ => InitError::Unwritable {
                file: self.file.clone(),
                source,
            },
        })?;
        let file = self.file.display();
        println!("wrote {file}\n\nNext:\n  tce gateway {file} --check");
        if self.auth == InitAuth::Jwt {
            println!("  tce gateway token {file} A1001");
        }
        println!("  tce gateway {file}");
        Ok(())
    }

    fn text(&self) -> Result<String, InitError> {
        let template = if self.mq { MQ } else { DIRECT };
        let login = match self.auth {
            InitAuth::None => WITHOUT_LOGIN.to_owned(),
            InitAuth::Jwt => JWT.replace("{{secret}}", &new_secret()?),
        };
        Ok(template
            .replace("{{login}}\n", &login)
            .replace("{{common}}\n", COMMON))
    }
}

/// As many random bytes as a secret for HS256 needs, in hexadecimal digits.
fn new_secret() -> Result<String, InitError> {
    let mut bytes = [0_u8; SECRET];
    // Up to 256 bytes are never filled in part.
    getrandom(&mut bytes, GetRandomFlags::empty())
        .map_err(|error| InitError::NoRandomness(error.into()))?;
    let mut text = String::with_capacity(2 * SECRET);
    for byte in bytes {
        // Writing to a string never fails.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

/// Creates a file that only its owner can read, since it may hold a secret.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let written = file.write_all(text.as_bytes());
    // A part of a file is of no use, and would have to be removed before the next attempt.
    written.inspect_err(|_| drop(fs::remove_file(path)))
}
