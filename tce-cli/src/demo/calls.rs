//! The calls of the demo, one of each mode.

use std::{fmt::Debug, time::Duration};

use tce_runtime::{ErrorCode, RpcError, TypedProxy};
use tokio::sync::oneshot;

use super::{
    generated::test::{ITerminalGatewayServerPrx, ITerminalServant},
    servants::TerminalImpl,
    transcript::{DemoClient, DemoError, Transcript},
};

/// Less than the second that `timeout(1)` takes.
const DEADLINE: Duration = Duration::from_millis(300);

/// Makes all calls of a client, and checks what happens.
pub(super) async fn make_all(
    transcript: &mut Transcript<'_>,
    client: &DemoClient,
) -> Result<(), DemoError> {
    login(transcript, client).await?;
    inherited(transcript, client).await?;
    extra(transcript, client).await?;
    callback(transcript, client).await?;
    awaited_later(transcript, client).await?;
    oneway(transcript, client).await?;
    timeout(transcript, client).await?;
    fault(transcript, client).await?;
    bidirectional(transcript, client).await?;
    second_interface(transcript, client).await?;
    close(transcript, client).await
}

async fn login(transcript: &mut Transcript<'_>, client: &DemoClient) -> Result<(), DemoError> {
    let (user, gateway) = (client.user, &client.gateway);
    transcript.call(
        "twoway",
        &format!(r#"server.echo("hello"), the first call, with __token__={user}"#),
    )?;
    let got = client.server.echo("hello").await?;
    transcript
        .event(&format!("{gateway}: {user} logged in"))
        .await?;
    transcript.server_call(client, r#"echo("hello")"#).await?;
    transcript.result(&got, "hello")
}

async fn inherited(transcript: &mut Transcript<'_>, client: &DemoClient) -> Result<(), DemoError> {
    transcript.call("inherited", "server.datetime()")?;
    let got = client.server.datetime().await?;
    transcript.server_call(client, "datetime()").await?;
    transcript.outcome(&format!("{got:?}"))?;
    match humantime::parse_rfc3339(&got) {
        Ok(_) => Ok(()),
        Err(_) => Err(different("a date and time", &got)),
    }
}

async fn extra(transcript: &mut Transcript<'_>, client: &DemoClient) -> Result<(), DemoError> {
    transcript.call("extra", r#"server.echo("hello") with name=scott.bo"#)?;
    let server = client.server.with_extra([("name", "scott.bo")]);
    let got = server.echo("hello").await?;
    let expected = format!(
        r#"server: echo("hello") from {}, name=scott.bo"#,
        client.user
    );
    transcript.event(&expected).await?;
    transcript.result(&got, "hello")
}

async fn callback(transcript: &mut Transcript<'_>, client: &DemoClient) -> Result<(), DemoError> {
    transcript.call("async", r#"server.echo("pingpang") with a callback"#)?;
    let (called_back, result) = oneshot::channel();
    client.server.echo("pingpang").on_return(|result| {
        // Fails only after the demo has ended with an error.
        let _ = called_back.send(result);
    });
    transcript
        .server_call(client, r#"echo("pingpang")"#)
        .await?;
    match result.await {
        Ok(got) => transcript.result(&got?, "pingpang"),
        Err(_) => Err(different("the callback", "nothing")),
    }
}

async fn awaited_later(
    transcript: &mut Transcript<'_>,
    client: &DemoClient,
) -> Result<(), DemoError> {
    transcript.call(
        "async",
        r#"server.echo("first"), echo("second"), both sent before either is awaited"#,
    )?;
    let first = client.server.echo("first");
    let second = client.server.echo("second");
    transcript.server_call(client, r#"echo("first")"#).await?;
    transcript.server_call(client, r#"echo("second")"#).await?;
    let got = second.await?;
    transcript.result(&got, "second")?;
    let got = first.await?;
    transcript.result(&got, "first")
}

async fn oneway(transcript: &mut Transcript<'_>, client: &DemoClient) -> Result<(), DemoError> {
    transcript.call("oneway", r#"server.heartbeat("hello world!")"#)?;
    client.server.heartbeat_oneway("hello world!").await?;
    transcript
        .server_call(client, r#"heartbeat("hello world!")"#)
        .await
}

async fn timeout(transcript: &mut Transcript<'_>, client: &DemoClient) -> Result<(), DemoError> {
    transcript.call(
        "timeout",
        &format!("server.timeout(1) with a deadline of {DEADLINE:?}"),
    )?;
    let got = client.server.with_timeout(DEADLINE).timeout(1).await;
    transcript.server_call(client, "timeout(1)").await?;
    expect_error(transcript, got, ErrorCode::Timeout)
}

async fn fault(transcript: &mut Transcript<'_>, client: &DemoClient) -> Result<(), DemoError> {
    transcript.call("error", "server.timeout(-1)")?;
    let got = client.server.timeout(-1).await;
    transcript.server_call(client, "timeout(-1)").await?;
    expect_error(transcript, got, ErrorCode::RemoteException)
}

async fn bidirectional(
    transcript: &mut Transcript<'_>,
    client: &DemoClient,
) -> Result<(), DemoError> {
    transcript.call("bidirectional", "server.bidirection(), which calls back")?;
    let terminal = ITerminalServant::new(TerminalImpl(transcript.sender()));
    client.server.connection().add_servant(terminal);
    client.server.bidirection_oneway().await?;
    transcript.server_call(client, "bidirection()").await?;
    transcript
        .event(r#"client: onMessage("server push message!")"#)
        .await
}

async fn second_interface(
    transcript: &mut Transcript<'_>,
    client: &DemoClient,
) -> Result<(), DemoError> {
    let (user, name) = (client.user, &client.gateway);
    transcript.call("twoway", "gateway.ping() on the same connection")?;
    let gateway = ITerminalGatewayServerPrx::new(client.server.connection());
    gateway.ping().await?;
    transcript
        .event(&format!("{name}: ping() from {user}"))
        .await
}

async fn close(transcript: &mut Transcript<'_>, client: &DemoClient) -> Result<(), DemoError> {
    let (user, gateway) = (client.user, &client.gateway);
    transcript.call("close", "the connection")?;
    client.server.connection().close();
    transcript
        .event(&format!("{gateway}: {user} logged out"))
        .await
}

/// Shows an error, which has to have the expected code.
fn expect_error<T: Debug>(
    transcript: &mut Transcript<'_>,
    got: Result<T, RpcError>,
    expected: ErrorCode,
) -> Result<(), DemoError> {
    match got {
        Err(error) => {
            transcript.outcome(&format!("{}: {}", error.code(), error.text()))?;
            if error.code() == expected {
                return Ok(());
            }
            Err(different(&expected.to_string(), &error.to_string()))
        }
        Ok(got) => Err(different(&expected.to_string(), &format!("{got:?}"))),
    }
}

fn different(expected: &str, got: &str) -> DemoError {
    DemoError::Different {
        expected: expected.to_owned(),
        got: got.to_owned(),
    }
}
