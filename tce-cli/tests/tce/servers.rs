//! Servers that the commands call, in the process of the test.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tce_runtime::{Adapter, Communicator, Context, ErrorCode, Fault, Servant, TypedProxy};

use crate::{
    test::{BaseServer, ITerminalPrx, Server, ServerServant},
    zoo::{Bytes, Family, IntStr, IntTable, Keeper, KeeperServant, StrInt},
};

/// Behaves like the server of `examples/simple`, but records what that one prints.
#[derive(Clone, Default)]
pub(crate) struct SimpleServer {
    extras: Arc<Mutex<String>>,
}

impl SimpleServer {
    /// The extras of all calls of `echo`.
    pub(crate) fn extras(&self) -> String {
        self.extras.lock().unwrap().clone()
    }

    pub(crate) fn clear(&self) {
        self.extras.lock().unwrap().clear();
    }
}

impl BaseServer for SimpleServer {
    async fn datetime(&self, _ctx: &Context) -> Result<String, Fault> {
        Ok("2025-01-31T12:00:00Z".to_owned())
    }
}

impl Server for SimpleServer {
    async fn echo(&self, text: String, ctx: &Context) -> Result<String, Fault> {
        let extra: Vec<_> = ctx.extra().iter().collect();
        self.extras
            .lock()
            .unwrap()
            .push_str(&format!("{extra:?}\n"));
        Ok(format!("Yah! {text}"))
    }

    async fn timeout(&self, secs: i32, _ctx: &Context) -> Result<(), Fault> {
        let Ok(secs) = u64::try_from(secs) else {
            let text = "`secs` must not be negative";
            return Err(Fault::new(ErrorCode::RemoteException, text));
        };
        tokio::time::sleep(Duration::from_secs(secs)).await;
        Ok(())
    }

    async fn heartbeat(&self, hello: String, ctx: &Context) -> Result<(), Fault> {
        // Shows the arrival to a caller that does not wait for a result.
        ITerminalPrx::to_caller(ctx)
            .on_message_oneway(&hello)
            .await?;
        Ok(())
    }

    async fn bidirection(&self, ctx: &Context) -> Result<(), Fault> {
        let client = ITerminalPrx::to_caller(ctx);
        client.on_message_oneway("server push message!").await?;
        Ok(())
    }
}

/// Returns its arguments.
pub(crate) struct EchoKeeper;

impl Keeper for EchoKeeper {
    async fn roundtrip(&self, fam: Family, _ctx: &Context) -> Result<Family, Fault> {
        Ok(fam)
    }
    async fn table(&self, t: IntTable, _ctx: &Context) -> Result<IntTable, Fault> {
        Ok(t)
    }
    async fn blob(&self, data: Bytes, _ctx: &Context) -> Result<Bytes, Fault> {
        Ok(data)
    }
    async fn counts(&self, c: StrInt, _ctx: &Context) -> Result<StrInt, Fault> {
        Ok(c)
    }
    async fn names(&self, c: IntStr, _ctx: &Context) -> Result<IntStr, Fault> {
        Ok(c)
    }
    async fn many(
        &self,
        b: u8,
        flag: bool,
        s: i16,
        i: i32,
        l: i64,
        flt: f32,
        dbl: f64,
        text: String,
        _ctx: &Context,
    ) -> Result<(), Fault> {
        if text.is_empty() {
            return Ok(());
        }
        let came = format!("{:?}", (b, flag, s, i, l, flt, dbl, text));
        Err(Fault::new(ErrorCode::RemoteException, came))
    }
    async fn big(&self, v: i64, _ctx: &Context) -> Result<i64, Fault> {
        Ok(v)
    }
    async fn real(&self, v: f64, _ctx: &Context) -> Result<f64, Fault> {
        Ok(v)
    }
    async fn truth(&self, v: bool, _ctx: &Context) -> Result<bool, Fault> {
        Ok(v)
    }
}

/// Serves `SimpleServer` on a free port until the adapter is dropped; returns its endpoint too.
pub(crate) async fn simple() -> (Adapter, String) {
    listen(
        &Communicator::new(),
        ServerServant::new(SimpleServer::default()),
    )
    .await
}

/// Serves `EchoKeeper` likewise.
pub(crate) async fn zoo() -> (Adapter, String) {
    listen(&Communicator::new(), KeeperServant::new(EchoKeeper)).await
}

pub(crate) async fn listen(
    communicator: &Communicator,
    servant: impl Servant,
) -> (Adapter, String) {
    let adapter = Adapter::listen(communicator, "tcp://127.0.0.1:0")
        .await
        .unwrap();
    adapter.add_servant(servant).start();
    let endpoint = adapter.endpoint().to_string();
    (adapter, endpoint)
}
