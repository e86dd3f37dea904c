//! The calls of the demo, one of each kind.

use std::{fmt::Debug, time::Duration};

use tce_runtime::{ErrorCode, RpcError, TypedProxy};
use tokio::sync::oneshot;

use super::{
    servants::Terminal,
    stage::{Client, Stage},
    surprise::Surprise,
};
use crate::test::{ITerminalGatewayServerPrx, ITerminalServant};

/// A deadline that `timeout(1)` can't keep.
const DEADLINE: Duration = Duration::from_millis(300);

pub(super) async fn all(stage: &mut Stage<'_>, client: &Client) -> Result<(), Surprise> {
    login(stage, client).await?;
    inherited(stage, client).await?;
    extra(stage, client).await?;
    callback(stage, client).await?;
    awaited_later(stage, client).await?;
    oneway(stage, client).await?;
    timeout(stage, client).await?;
    fault(stage, client).await?;
    bidirectional(stage, client).await?;
    second_interface(stage, client).await?;
    leave(stage, client).await
}

async fn login(stage: &mut Stage<'_>, client: &Client) -> Result<(), Surprise> {
    let (user, gateway) = (client.user, &client.gateway);
    stage.call(
        "twoway",
        &format!(r#"server.echo("hello"), the first call: with __token__={user}"#),
    )?;
    let got = client.server.echo("hello").await?;
    stage
        .tells(&format!("{gateway}: {user} is on line"))
        .await?;
    stage.heard(client, r#"echo("hello")"#).await?;
    stage.result(&got, &"hello".to_owned())
}

async fn inherited(stage: &mut Stage<'_>, client: &Client) -> Result<(), Surprise> {
    stage.call("inherited", "server.datetime()")?;
    let got = client.server.datetime().await?;
    stage.heard(client, "datetime()").await?;
    stage.came(&format!("{got:?}"))?;
    match humantime::parse_rfc3339(&got) {
        Ok(_) => Ok(()),
        Err(_) => Err(different("a date and time", &got)),
    }
}

async fn extra(stage: &mut Stage<'_>, client: &Client) -> Result<(), Surprise> {
    stage.call("extra", r#"server.echo("hello") with name=scott.bo"#)?;
    let server = client.server.with_extra([("name", "scott.bo")]);
    let got = server.echo("hello").await?;
    let expected = format!(r#"server: echo("hello") of {}, name=scott.bo"#, client.user);
    stage.tells(&expected).await?;
    stage.result(&got, &"hello".to_owned())
}

async fn callback(stage: &mut Stage<'_>, client: &Client) -> Result<(), Surprise> {
    stage.call("async", r#"server.echo("pingpang") with a callback"#)?;
    let (called_back, result) = oneshot::channel();
    client.server.echo("pingpang").on_return(|result| {
        // The demo has ended with an error if nobody waits any more.
        let _ = called_back.send(result);
    });
    stage.heard(client, r#"echo("pingpang")"#).await?;
    match result.await {
        Ok(got) => stage.result(&got?, &"pingpang".to_owned()),
        Err(_) => Err(different("the callback", "nothing")),
    }
}

async fn awaited_later(stage: &mut Stage<'_>, client: &Client) -> Result<(), Surprise> {
    stage.call(
        "async",
        r#"server.echo("first"), echo("second"), both sent before either is awaited"#,
    )?;
    let first = client.server.echo("first");
    let second = client.server.echo("second");
    stage.heard(client, r#"echo("first")"#).await?;
    stage.heard(client, r#"echo("second")"#).await?;
    let got = second.await?;
    stage.result(&got, &"second".to_owned())?;
    let got = first.await?;
    stage.result(&got, &"first".to_owned())
}

async fn oneway(stage: &mut Stage<'_>, client: &Client) -> Result<(), Surprise> {
    stage.call("oneway", r#"server.heartbeat("hello world!")"#)?;
    client.server.heartbeat_oneway("hello world!").await?;
    stage.heard(client, r#"heartbeat("hello world!")"#).await
}

async fn timeout(stage: &mut Stage<'_>, client: &Client) -> Result<(), Surprise> {
    stage.call(
        "timeout",
        &format!("server.timeout(1) with a deadline of {DEADLINE:?}"),
    )?;
    let got = client.server.with_timeout(DEADLINE).timeout(1).await;
    stage.heard(client, "timeout(1)").await?;
    fails(stage, got, ErrorCode::Timeout)
}

async fn fault(stage: &mut Stage<'_>, client: &Client) -> Result<(), Surprise> {
    stage.call("error", "server.timeout(-1)")?;
    let got = client.server.timeout(-1).await;
    stage.heard(client, "timeout(-1)").await?;
    fails(stage, got, ErrorCode::RemoteException)
}

async fn bidirectional(stage: &mut Stage<'_>, client: &Client) -> Result<(), Surprise> {
    stage.call("bidirectional", "server.bidirection(), which calls back")?;
    let terminal = ITerminalServant::new(Terminal(stage.told.clone()));
    client.server.connection().add_servant(terminal);
    client.server.bidirection_oneway().await?;
    stage.heard(client, "bidirection()").await?;
    stage
        .tells(r#"client: onMessage("server push message!")"#)
        .await
}

async fn second_interface(stage: &mut Stage<'_>, client: &Client) -> Result<(), Surprise> {
    let (user, name) = (client.user, &client.gateway);
    stage.call("twoway", "gateway.ping() on the same connection")?;
    let gateway = ITerminalGatewayServerPrx::new(client.server.connection());
    gateway.ping().await?;
    stage.tells(&format!("{name}: ping() of {user}")).await
}

async fn leave(stage: &mut Stage<'_>, client: &Client) -> Result<(), Surprise> {
    let (user, gateway) = (client.user, &client.gateway);
    stage.call("close", "the connection")?;
    client.server.connection().close();
    stage.tells(&format!("{gateway}: {user} is off line")).await
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
