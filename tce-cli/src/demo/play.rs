//! The calls of the demo, one of each kind.

use std::{fmt::Debug, time::Duration};

use tce_runtime::{ErrorCode, RpcError};
use tokio::sync::oneshot;

use super::{
    servants::Terminal,
    stage::{Stage, Surprise},
};
use crate::test::{ITerminalGatewayServerPrx, ITerminalServant};

/// A deadline that `timeout(3)` can't keep.
const DEADLINE: Duration = Duration::from_millis(500);

pub(super) async fn all(stage: &mut Stage<'_>) -> Result<(), Surprise> {
    twoway(stage).await?;
    inherited(stage).await?;
    extra(stage).await?;
    callback(stage).await?;
    awaited_later(stage).await?;
    oneway(stage).await?;
    timeout(stage).await?;
    fault(stage).await?;
    bidirectional(stage).await?;
    second_interface(stage).await
}

async fn twoway(stage: &mut Stage<'_>) -> Result<(), Surprise> {
    stage.call("twoway", r#"server.echo("hello")"#)?;
    let got = stage.server.echo("hello").await?;
    stage.result(&got, &"hello".to_owned())
}

async fn inherited(stage: &mut Stage<'_>) -> Result<(), Surprise> {
    stage.call("inherited", "server.datetime()")?;
    let got = stage.server.datetime().await?;
    stage.came(&format!("{got:?}"))?;
    match humantime::parse_rfc3339(&got) {
        Ok(_) => Ok(()),
        Err(_) => Err(different("a date and time", &got)),
    }
}

async fn extra(stage: &mut Stage<'_>) -> Result<(), Surprise> {
    stage.call("extra", r#"server.echo("hello") with name=scott.bo"#)?;
    let server = stage.server.with_extra([("name", "scott.bo")]);
    let got = server.echo("hello").await?;
    stage.tells("server: extra name=scott.bo").await?;
    stage.result(&got, &"hello".to_owned())
}

async fn callback(stage: &mut Stage<'_>) -> Result<(), Surprise> {
    stage.call("async", r#"server.echo("pingpang") with a callback"#)?;
    let (called_back, result) = oneshot::channel();
    stage.server.echo_async("pingpang").on_return(|result| {
        // The demo has ended with an error if nobody waits any more.
        let _ = called_back.send(result);
    });
    match result.await {
        Ok(got) => stage.result(&got?, &"pingpang".to_owned()),
        Err(_) => Err(different("the callback", "nothing")),
    }
}

async fn awaited_later(stage: &mut Stage<'_>) -> Result<(), Surprise> {
    stage.call(
        "async",
        r#"server.echo("first"), echo("second"), both sent before either is awaited"#,
    )?;
    let first = stage.server.echo_async("first");
    let second = stage.server.echo_async("second");
    let got = second.await?;
    stage.result(&got, &"second".to_owned())?;
    let got = first.await?;
    stage.result(&got, &"first".to_owned())
}

async fn oneway(stage: &mut Stage<'_>) -> Result<(), Surprise> {
    stage.call("oneway", r#"server.heartbeat("hello world!")"#)?;
    stage.server.heartbeat_oneway("hello world!").await?;
    stage.tells(r#"server: heartbeat "hello world!""#).await
}

async fn timeout(stage: &mut Stage<'_>) -> Result<(), Surprise> {
    stage.call(
        "timeout",
        &format!("server.timeout(3) with a deadline of {DEADLINE:?}"),
    )?;
    let got = stage.server.with_timeout(DEADLINE).timeout(3).await;
    fails(stage, got, ErrorCode::Timeout)
}

async fn fault(stage: &mut Stage<'_>) -> Result<(), Surprise> {
    stage.call("error", "server.timeout(-1)")?;
    let got = stage.server.timeout(-1).await;
    fails(stage, got, ErrorCode::RemoteException)
}

async fn bidirectional(stage: &mut Stage<'_>) -> Result<(), Surprise> {
    stage.call("bidirectional", "server.bidirection(), which calls back")?;
    let terminal = ITerminalServant::new(Terminal(stage.told.clone()));
    stage.server.connection().add_servant(terminal);
    stage.server.bidirection_oneway().await?;
    stage
        .tells(r#"client: onMessage "server push message!""#)
        .await
}

async fn second_interface(stage: &mut Stage<'_>) -> Result<(), Surprise> {
    stage.call("twoway", "gateway.ping() on the connection of server")?;
    let gateway = ITerminalGatewayServerPrx::new(stage.server.connection());
    gateway.ping().await?;
    stage.tells("server: ping").await
}

/// Shows an error, which has to have the expected code.
fn fails<T: Debug>(
    stage: &mut Stage<'_>,
    got: Result<T, RpcError>,
    expected: ErrorCode,
) -> Result<(), Surprise> {
    match got {
        Err(error) => {
            stage.came(&format!("{}: {}", error.code(), error.text()))?;
            if error.code() == expected {
                return Ok(());
            }
            Err(different(&expected.to_string(), &error.to_string()))
        }
        Ok(got) => Err(different(&expected.to_string(), &format!("{got:?}"))),
    }
}

fn different(expected: &str, got: &str) -> Surprise {
    Surprise::Different {
        expected: expected.to_owned(),
        got: got.to_owned(),
    }
}
