//! The client process: it does what the lines on its standard input say.
//!
//! `connect N` opens N connections, `call` calls once on each connection that was opened last, and
//! `sample N` calls on N connections at random.

use std::{
    io::{Write, stdin, stdout},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use tce_runtime::{Communicator, RpcError, TypedProxy};
use tokio::runtime;

use crate::bench::EchoPrx;

/// Handshakes and calls at a time: fewer than the backlog of any system's listening socket.
const CONCURRENT: usize = 64;
/// The connections to one address: fewer than its ports for outgoing connections, of which Linux
/// has 28,232.
const PER_ADDRESS: usize = 20_000;
/// The time for one call of [`answers`].
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// Serves the lines on standard input until it ends. `endpoint` has no host: loopback has an address
/// for each [`PER_ADDRESS`] connections.
pub(crate) fn run(endpoint: &str) -> Result<()> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let communicator = Communicator::new();
    let mut clients = Vec::new();
    let mut called = 0;
    for line in stdin().lines() {
        let line = line?;
        let (word, number) = line.split_once(' ').unwrap_or((&line, ""));
        let answer = match word {
            "connect" => {
                let endpoints = (clients.len()..clients.len() + number.parse::<usize>()?)
                    .map(|nth| on_loopback(endpoint, nth / PER_ADDRESS))
                    .collect::<Result<Vec<_>>>()?;
                clients.extend(runtime.block_on(connect(&communicator, &endpoints))?);
                "connected".to_owned()
            }
            "call" => {
                runtime.block_on(call(&clients[called..]))?;
                called = clients.len();
                "called".to_owned()
            }
            "sample" => runtime.block_on(sample(&clients, number.parse()?))?,
            _ => bail!("unknown word `{word}`"),
        };
        writeln!(stdout(), "{answer}")?;
    }
    Ok(())
}

/// `endpoint` at the nth address of loopback, from 127.0.0.1 on.
fn on_loopback(endpoint: &str, nth: usize) -> Result<String> {
    let (scheme, port) = endpoint
        .split_once("://:")
        .context("the endpoint has a host")?;
    ensure!(
        nth < 254,
        "too many connections: loopback addresses end at 127.0.0.254"
    );
    Ok(format!("{scheme}://127.0.0.{}:{port}", nth + 1))
}

/// Whether a call is answered.
pub(crate) fn answers(endpoint: &str) -> Result<bool> {
    let endpoint = on_loopback(endpoint, 0)?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let calling = async {
        let client = EchoPrx::connect(&Communicator::new(), &endpoint).await?;
        client.echo("").await
    };
    let answer = runtime.block_on(async { tokio::time::timeout(ANSWER_TIME, calling).await });
    Ok(answer.is_ok_and(|answer| answer.is_ok()))
}

async fn connect(communicator: &Communicator, endpoints: &[String]) -> Result<Vec<EchoPrx>> {
    let connecting = endpoints
        .iter()
        .map(|endpoint| EchoPrx::connect(communicator, endpoint));
    let clients = stream::iter(connecting).buffer_unordered(CONCURRENT);
    clients.try_collect().await.context("connecting")
}

async fn call(clients: &[EchoPrx]) -> Result<()> {
    let calls = clients.iter().map(|client| client.echo("hello"));
    let answers = stream::iter(calls).buffer_unordered(CONCURRENT);
    let all_equal = answers.try_fold(true, |all, answer| async move {
        Ok::<_, RpcError>(all && answer == "hello")
    });
    ensure!(all_equal.await.context("calling")?, "a wrong answer");
    Ok(())
}

/// Calls on connections at random, one after the other. Returns the times as text.
async fn sample(clients: &[EchoPrx], count: usize) -> Result<String> {
    let mut times = Vec::new();
    for _ in 0..count {
        let client = &clients[fastrand::usize(..clients.len())];
        let began = Instant::now();
        ensure!(client.echo("hello").await? == "hello", "a wrong answer");
        times.push(began.elapsed());
    }
    times.sort_unstable();
    let (median, longest) = (times[count / 2], times[count - 1]);
    Ok(format!("median {median:.0?}, longest {longest:.0?}"))
}
