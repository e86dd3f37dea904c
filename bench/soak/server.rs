//! The server process. It reports each run of a call to its standard output, in a write of its own,
//! so that no report is lost when the process is killed.

use std::{
    io::{Write, stdout},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use tce_runtime::{
    Adapter, Communicator, Context, Fault, TypedProxy,
    config::{MqConfig, Options},
};
use tokio::{runtime::Handle, time::interval};

use crate::soak::{ClientPrx, Server, ServerServant};

struct Soak;

impl Server for Soak {
    async fn run(
        &self,
        client: i32,
        number: i32,
        sleep_ms: i32,
        data: Vec<u8>,
        ctx: &Context,
    ) -> Result<Vec<u8>, Fault> {
        report_run(client, number, ctx)?;
        if let Ok(sleep_ms @ 1..) = u64::try_from(sleep_ms) {
            tokio::time::sleep(Duration::from_millis(sleep_ms)).await;
        }
        Ok(data)
    }

    async fn note(&self, client: i32, number: i32, ctx: &Context) -> Result<(), Fault> {
        report_run(client, number, ctx)
    }

    async fn nested(&self, client: i32, number: i32, ctx: &Context) -> Result<String, Fault> {
        report_run(client, number, ctx)?;
        Ok(ClientPrx::to_caller(ctx).ask("nested").await?)
    }

    async fn push(&self, client: i32, number: i32, ctx: &Context) -> Result<(), Fault> {
        report_run(client, number, ctx)?;
        Ok(ClientPrx::to_caller(ctx).pushed_oneway(number).await?)
    }
}

fn report_run(client: i32, number: i32, ctx: &Context) -> Result<(), Fault> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let mark = u8::from(ctx.is_redelivered());
    Ok(stdout().write_all(format!("run {client} {number} {now} {mark}\n").as_bytes())?)
}

/// Serves the queue and the socket, and reports the number of tasks each second, until the process is
/// killed.
pub(crate) async fn serve(config: &Path, port: u16) -> Result<()> {
    let communicator = Communicator::with_options(Options::default());
    communicator
        .open_mq(MqConfig::load(config, "server")?)
        .await?;
    let mut adapters = Vec::new();
    for endpoint in ["mq:calls".to_owned(), format!("tcp://127.0.0.1:{port}")] {
        let adapter = Adapter::listen(&communicator, &endpoint).await?;
        adapter.add_servant(ServerServant::new(Soak)).start();
        adapters.push(adapter);
    }
    report_tasks().await
}

/// Reports the number of tasks of this runtime each second.
pub(crate) async fn report_tasks() -> Result<()> {
    let mut seconds = interval(Duration::from_secs(1));
    loop {
        seconds.tick().await;
        let tasks = Handle::current().metrics().num_alive_tasks();
        stdout().write_all(format!("tasks {tasks}\n").as_bytes())?;
    }
}
