//! The testee for Rust: this program again, as its driver starts it.

#[allow(unreachable_pub, reason = "generated code is made for public modules")]
mod idl {
    tce_runtime::include_idl!(conformance, later, test, zoo);
}

mod neutral;

mod calls;

mod servants;

use std::{collections::HashMap, io::Write, time::Duration};

use serde_json::{Value, json};
use tce_runtime::{
    Adapter, Communicator, Connection, Proxy,
    config::{MqConfig, TlsConfig},
};
use tokio::io::{AsyncBufReadExt, BufReader};

use self::{
    calls::{CallOptions, Sent},
    idl::{conformance::ProbeServant, test::ServerServant, zoo::KeeperServant},
    servants::Servants,
};
use crate::protocol::{Answer, Command, Interfaces, Mode, Options};

/// How long calls in flight may take when a connection is closed.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// Carries out the commands on the standard input until it ends.
pub(crate) async fn run() -> std::io::Result<()> {
    let mut testee = Testee::default();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let answer = match serde_json::from_str(&line) {
            Ok(command) => testee.carry_out(command).await,
            Err(error) => Err(format!("not a command: {error}")),
        };
        let answer = match answer {
            Ok(value) => Answer::Ok(value),
            Err(error) => Answer::Failed(error),
        };
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, &answer)?;
        out.write_all(b"\n")?;
        out.flush()?;
    }
    Ok(())
}

#[derive(Default)]
struct Testee {
    servants: Servants,
    /// They serve until the program ends.
    adapters: Vec<(Communicator, Adapter)>,
    client: Option<(Communicator, Proxy)>,
    started: HashMap<String, Sent>,
}

impl Testee {
    async fn carry_out(&mut self, command: Command) -> Result<Value, String> {
        match command {
            Command::Listen {
                endpoint,
                serve,
                options,
            } => self.listen(&endpoint, serve, &options).await,
            Command::Connect { endpoint, options } => {
                let communicator = open(&options).await?;
                let proxy = Proxy::connect(&communicator, &endpoint).await;
                let proxy = proxy.map_err(|error| error.to_string())?;
                self.serve_on(proxy.connection());
                self.client = Some((communicator, proxy));
                Ok(Value::Null)
            }
            Command::Call {
                operation,
                args,
                mode,
                timeout_ms,
                extra,
            } => {
                let options = CallOptions {
                    timeout: timeout_ms.map(Duration::from_millis),
                    extra,
                    is_oneway: mode == Mode::Oneway,
                };
                let (_, proxy) = self.client.as_ref().ok_or("there is no connection")?;
                let sent = calls::send(proxy, &operation, &args, &options)?;
                if let Mode::Start(handle) = mode {
                    self.started.insert(handle, sent);
                    return Ok(Value::Null);
                }
                Ok(json!(sent.await))
            }
            Command::Finish { handle } => Ok(json!(self.started(&handle)?.await)),
            Command::Abandon { handle } => {
                drop(self.started(&handle)?);
                Ok(Value::Null)
            }
            Command::Received => Ok(json!(self.servants.received())),
            Command::Forget => {
                self.servants.forget();
                Ok(Value::Null)
            }
            Command::Close => {
                self.started.clear();
                if let Some((communicator, proxy)) = self.client.take() {
                    drop(proxy);
                    communicator.shutdown(CLOSE_TIME).await;
                }
                Ok(Value::Null)
            }
        }
    }

    async fn listen(
        &mut self,
        endpoint: &str,
        serve: Interfaces,
        options: &Options,
    ) -> Result<Value, String> {
        let communicator = open(options).await?;
        let adapter = Adapter::listen(&communicator, endpoint).await;
        let adapter = adapter.map_err(|error| error.to_string())?;
        match serve {
            Interfaces::Conformance => adapter
                .add_servant(ProbeServant::new(self.servants.clone()))
                .add_servant(KeeperServant::new(self.servants.clone())),
            Interfaces::Test => adapter.add_servant(ServerServant::new(self.servants.clone())),
        };
        adapter.start();
        let endpoint = adapter.endpoint().to_string();
        self.adapters.push((communicator, adapter));
        Ok(json!(endpoint))
    }

    fn serve_on(&self, connection: &Connection) {
        connection.add_servant(ProbeServant::new(self.servants.clone()));
        connection.add_servant(KeeperServant::new(self.servants.clone()));
    }

    fn started(&mut self, handle: &str) -> Result<Sent, String> {
        let sent = self.started.remove(handle);
        sent.ok_or_else(|| format!("no call was started as {handle}"))
    }
}

/// A communicator with these options.
async fn open(options: &Options) -> Result<Communicator, String> {
    let own = tce_runtime::config::Options {
        token: options.token.clone(),
        device_id: options.device_id.clone(),
        resume: options.resume,
        tls: TlsConfig {
            certificate: options.certificate.clone(),
            key: options.key.clone(),
            authority: options.authority.clone(),
        },
        ..tce_runtime::config::Options::default()
    };
    let communicator = Communicator::with_options(own);
    if let Some(queues) = &options.queues {
        let config = MqConfig::load(&queues.file, &queues.process);
        let config = config.map_err(|error| error.to_string())?;
        let opened = communicator.open_mq(config).await;
        opened.map_err(|error| error.to_string())?;
    }
    Ok(communicator)
}
