//! `tce gateway ctl`: asks and changes a running gateway by its admin address.

use std::{
    io::{self, Write},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::{Args, Subcommand};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, StatusCode,
    body::Bytes,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::TcpStream, time::timeout};

use crate::{
    admin::{Disconnected, Disconnection, OnLineCount, OnLineUsers, Refused, SessionRow},
    http::exchange,
    terminal::escape_control,
};

/// From the lookup of the host's name to the last byte of the answer: what the gateway
/// allows a request.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// The largest answer, in bytes.
const MAX_ANSWER: usize = 16 << 20;
/// The number of users that are asked for at once.
const PAGE: usize = 1000;

/// Ask a running gateway who is on line, disconnect users, reload
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tce gateway ctl 9600 count
  tce gateway ctl 9600 users
  tce gateway ctl gateway.internal:9600 sessions scott
  TCE_ADMIN_TOKEN=… tce gateway ctl 9600 disconnect scott --device phone --reason 'stolen'

With `presence` redis the answers hold for all gateways that share it.
Exit status: 0 done, 1 the gateway can't be reached or refuses, 2 wrong arguments.")]
pub(crate) struct CtlCommand {
    /// The property `admin` of the gateway: a port on this machine, or HOST:PORT
    #[arg(value_name = "ADMIN", value_parser = admin_address)]
    admin: String,
    /// The property `admin_token` of the gateway, for what changes something
    #[arg(long, env = "TCE_ADMIN_TOKEN", hide_env_values = true, global = true)]
    token: Option<String>,
    /// Print the answer as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the users who are on line
    Users {
        /// The maximum number of users
        #[arg(long, default_value_t = usize::MAX, hide_default_value = true)]
        limit: usize,
    },
    /// Print the sessions of a user
    Sessions {
        /// The user id
        user: String,
    },
    /// Print how many are on line
    Count,
    /// Close the connections of a user; its clients do not connect again by themselves
    Disconnect {
        /// The user id
        #[arg(required_unless_present = "all")]
        user: Option<String>,
        /// Close the connections of all users
        #[arg(long, conflicts_with_all = ["user", "device"])]
        all: bool,
        /// Close only the connection of this device
        #[arg(long, default_value = "")]
        device: String,
        /// Tell the clients why
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Reload the configuration, as SIGHUP does
    Reload,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CtlError {
    #[error("{admin} does not answer within {REQUEST_TIME:?}")]
    TimedOut { admin: String },
    #[error("can't connect to {admin}: {source}")]
    Connect { admin: String, source: io::Error },
    #[error("{admin} does not answer as a gateway: {text}")]
    Answer { admin: String, text: String },
    #[error("{0}")]
    Refused(String),
    #[error("can't write: {0}")]
    Output(#[from] io::Error),
}

/// `9600`, `host:9600` or `http://host:9600`, as HOST:PORT.
fn admin_address(text: &str) -> Result<String, &'static str> {
    const EXPECTED: &str = "expected a port, such as 9600, or HOST:PORT";
    let text = text.strip_prefix("http://").unwrap_or(text);
    let text = text.strip_suffix('/').unwrap_or(text);
    if text.parse::<u16>().is_ok_and(|port| port > 0) {
        return Ok(format!("127.0.0.1:{text}"));
    }
    let (host, port) = text.rsplit_once(':').ok_or(EXPECTED)?;
    let is_valid = !host.is_empty() && !host.contains(['/', '@', ' ']);
    match port.parse::<u16>() {
        Ok(1..) if is_valid => Ok(text.to_owned()),
        _ => Err(EXPECTED),
    }
}

impl CtlCommand {
    /// Asks the gateway, and prints its answer.
    pub(crate) fn run(&self) -> Result<(), CtlError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let result = runtime.block_on(self.act());
        // Does not wait for a host name lookup, which runs in a thread of its own.
        runtime.shutdown_background();
        result
    }

    async fn act(&self) -> Result<(), CtlError> {
        let mut out = io::stdout().lock();
        match &self.action {
            Action::Users { limit } => self.print_users(&mut out, *limit).await?,
            Action::Sessions { user } => {
                let user = utf8_percent_encode(user, NON_ALPHANUMERIC);
                let path = format!("/api/sessions?user={user}");
                let sessions: Vec<SessionRow> = self.get(&path).await?;
                match self.json {
                    true => print_json(&mut out, &sessions)?,
                    false => print_sessions(&mut out, &sessions)?,
                }
            }
            Action::Count => {
                let count: OnLineCount = self.get("/api/count").await?;
                match self.json {
                    true => print_json(&mut out, &count)?,
                    false => writeln!(
                        out,
                        "{} users, {} sessions, {} gateways",
                        count.users, count.sessions, count.gateways
                    )?,
                }
            }
            Action::Disconnect {
                user,
                device,
                reason,
                ..
            } => {
                let which = Disconnection {
                    user: user.clone(),
                    device: device.clone(),
                    reason: reason.clone(),
                };
                let answer: Disconnected = self.post("/api/disconnect", &which).await?;
                match self.json {
                    true => print_json(&mut out, &answer)?,
                    false => writeln!(out, "{} connections closed", answer.disconnected)?,
                }
            }
            Action::Reload => {
                let _: serde_json::Value = self.post("/api/reload", &()).await?;
                writeln!(out, "reloaded")?;
            }
        }
        Ok(())
    }

    /// Prints the users page by page; each once, also with sessions at several gateways.
    async fn print_users(&self, out: &mut impl Write, limit: usize) -> Result<(), CtlError> {
        let mut seen = std::collections::HashSet::new();
        let mut cursor = String::new();
        loop {
            let from = utf8_percent_encode(&cursor, NON_ALPHANUMERIC);
            let path = format!("/api/users?cursor={from}&limit={}", PAGE.min(limit));
            let page: OnLineUsers = self.get(&path).await?;
            for user in page.users {
                if seen.len() < limit && !seen.contains(&user) {
                    match self.json {
                        true => print_json(out, &user)?,
                        false => writeln!(out, "{}", escape_control(&user))?,
                    }
                    seen.insert(user);
                }
            }
            if page.cursor.is_empty() || seen.len() >= limit {
                return Ok(());
            }
            cursor = page.cursor;
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CtlError> {
        self.request(Method::GET, path, Bytes::new()).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CtlError> {
        let body = serde_json::to_vec(body).map_err(|error| self.unexpected(&error))?;
        self.request(Method::POST, path, body.into()).await
    }

    async fn request<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, CtlError> {
        let requesting = timeout(REQUEST_TIME, self.exchange(method, path, body));
        let (status, body) = requesting.await.map_err(|_| CtlError::TimedOut {
            admin: self.admin.clone(),
        })??;
        if status == StatusCode::OK {
            return serde_json::from_slice(&body).map_err(|error| self.unexpected(&error));
        }
        Err(match serde_json::from_slice(&body) {
            Ok(Refused { error }) => CtlError::Refused(escape_control(&error)),
            Err(_) => {
                let text = String::from_utf8_lossy(&body);
                self.unexpected(&format!("{status}: {}", text.trim()))
            }
        })
    }

    /// Sends one request. Returns the status and the body of the answer.
    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), CtlError> {
        let connecting = TcpStream::connect(&self.admin).await;
        let stream = connecting.map_err(|source| CtlError::Connect {
            admin: self.admin.clone(),
            source,
        })?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.admin)
            .header(CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            let token = token.trim_end_matches(['\r', '\n']);
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(body));
        let request = request.map_err(|error| self.unexpected(&error))?;
        let exchanged = exchange(stream, request, async |answer| {
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_ANSWER)
                .collect()
                .await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>((status, body.to_bytes()))
        });
        exchanged.await.map_err(|error| self.unexpected(&error))
    }

    fn unexpected(&self, error: &impl ToString) -> CtlError {
        CtlError::Answer {
            admin: self.admin.clone(),
            text: escape_control(&error.to_string()),
        }
    }
}

fn print_json(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)
}

/// Prints a table, of which each column is as wide as its longest text.
fn print_sessions(out: &mut impl Write, sessions: &[SessionRow]) -> io::Result<()> {
    if sessions.is_empty() {
        return writeln!(out, "the user is not on line");
    }
    let heads = [
        "gateway",
        "device",
        "address",
        "endpoint",
        "for",
        "connection",
    ];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(sessions.iter().map(|session| {
        let device = match session.device.as_str() {
            "" => "-",
            device => device,
        };
        let (address, connection) = match session.connection.as_str() {
            "" => ("away", "-"),
            connection => (session.address.as_str(), connection),
        };
        let texts = [
            &session.gateway,
            device,
            address,
            &session.endpoint,
            connection,
        ];
        let [gateway, device, address, endpoint, connection] = texts.map(escape_control);
        let age = format!("{} s", age(session.since_ms).as_secs());
        [gateway, device, address, endpoint, age, connection]
    }));
    let width = |column: usize| {
        let lengths = rows.iter().map(|row| row[column].chars().count());
        lengths.max().unwrap_or(0)
    };
    let widths: [usize; 6] = std::array::from_fn(width);
    for row in &rows {
        let cells = row.iter().zip(widths);
        let cells: Vec<_> = cells
            .map(|(text, width)| format!("{text:<width$}"))
            .collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

fn age(since_ms: i64) -> Duration {
    let since = UNIX_EPOCH + Duration::from_millis(since_ms.try_into().unwrap_or(0));
    SystemTime::now().duration_since(since).unwrap_or_default()
}
