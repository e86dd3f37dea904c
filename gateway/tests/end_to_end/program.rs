//! The program `tce-gateway`: signals, and changes of its file.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use rustix::process::Signal;
use tce_runtime::{ErrorCode, config::Options};

use crate::common::{
    client::Client,
    plan::Plan,
    process::GatewayProcess,
    scene::Scene,
    watching::{eventually, soon, within},
};

/// Calls repeatedly until told to stop or refused. Returns the number of answers.
async fn keep_calling(client: Client, stop: Arc<AtomicBool>, answered: Arc<AtomicUsize>) {
    while !stop.load(Ordering::Relaxed) {
        match soon(client.server.echo("busy")).await {
            Ok(answer) => assert_eq!(answer, "Yah! busy"),
            Err(error) => {
                let expected = [
                    ErrorCode::ConnectReject,
                    ErrorCode::ConnectionLost,
                    ErrorCode::ConnectFailed,
                ];
                assert!(expected.contains(&error.code()), "{error}");
                return;
            }
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

async fn sigterm_under_load(plan: Plan) {
    let mut scene = Scene::start(plan, &["gw0"]).await;
    let (stop, answered) = (Arc::default(), Arc::new(AtomicUsize::new(0)));
    let mut load = tokio::task::JoinSet::new();
    for number in 0..8 {
        let client = scene.client(number % 4).await;
        load.spawn(keep_calling(
            client,
            Arc::clone(&stop),
            Arc::clone(&answered),
        ));
    }
    let client = scene.client(0).await;
    let calls: Vec<_> = (0..20).map(|_| client.server.echo("gate")).collect();
    scene.server.seen.gate_reached(20).await;
    eventually("there is load", || answered.load(Ordering::Relaxed) > 100).await;
    scene.gateway.signal(Signal::TERM);
    // Calls in flight are answered, later ones refused.
    within(load.join_all()).await;
    let error = soon(client.server.echo("too late")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectReject, "{error}");
    let address = scene.gateway.addresses()[0].to_string();
    let late = Client::connect(&address, scene.folder.path(), Options::default()).await;
    assert!(late.is_err(), "nobody else is let in");
    scene.server.seen.open_gate();
    for call in calls {
        assert_eq!(within(call).await.unwrap(), "through");
    }
    assert!(scene.gateway.ended().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_lets_calls_end_directly() {
    sigterm_under_load(Plan::direct()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_lets_calls_end_by_queue() {
    sigterm_under_load(Plan::rabbitmq()).await;
}

#[tokio::test]
async fn sigterm_does_not_wait_for_ever() {
    let plan = Plan::direct().property("shutdown_time", "0.5");
    let mut scene = Scene::start(plan, &["gw0"]).await;
    let client = scene.client(0).await;
    let call = client.server.echo("gate");
    scene.server.seen.gate_reached(1).await;
    scene.gateway.signal(Signal::TERM);
    let error = soon(call).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectionLost, "{error}");
    assert!(scene.gateway.ended().await.success());
}

const ROUTE: &str = r#"<route if="test.BaseServer">"#;
const OTHER_ROUTE: &str = r#"<route if="test.ITerminalGatewayServer">"#;

/// A new route takes effect, a wrong one does not; connections stay open, with
/// their calls.
async fn is_loaded_anew(scene: &Scene, load: impl Fn(&GatewayProcess)) {
    let client = scene.client(1).await;
    let call = client.server.echo("gate");
    let missing = within(client.server.datetime()).await.unwrap_err();
    assert_eq!(missing.code(), ErrorCode::InterfaceNotFound);
    scene.change(OTHER_ROUTE, ROUTE);
    load(&scene.gateway);
    scene.gateway.logs("reloaded the configuration").await;
    assert_eq!(within(client.server.datetime()).await.unwrap(), "server0");

    scene.change("</SNS>", "");
    load(&scene.gateway);
    scene.gateway.logs("services.xml:").await;
    scene
        .gateway
        .logs("the old configuration stays in force")
        .await;
    assert_eq!(within(client.server.datetime()).await.unwrap(), "server0");
    scene.server.seen.open_gate();
    assert_eq!(within(call).await.unwrap(), "through");
}

/// A scene whose file lacks the route of the server's base interface.
async fn without_base(plan: Plan, arguments: &[&str]) -> Scene {
    let edit = |text: String| text.replace(ROUTE, OTHER_ROUTE);
    Scene::start_with(plan, arguments, edit).await
}

#[tokio::test]
async fn sighup_loads_the_file_anew() {
    for plan in [Plan::direct(), Plan::rabbitmq()] {
        let scene = without_base(plan, &["gw0"]).await;
        is_loaded_anew(&scene, |gateway| gateway.signal(Signal::HUP)).await;
    }
}

#[tokio::test]
async fn a_file_that_is_watched_is_loaded_when_it_changes() {
    let scene = without_base(Plan::direct(), &["gw0", "--set", "watch=true"]).await;
    is_loaded_anew(&scene, |_| {}).await;
}

#[tokio::test]
async fn one_process_runs_several_servers_of_a_file() {
    let plan = Plan::rabbitmq().gateways(2);
    let mut scene = Scene::start(plan, &["gw0", "gw1"]).await;
    for address in 0..8 {
        let mut client = scene.client(address).await;
        within(client.server.bidirection()).await.unwrap();
        assert_eq!(client.next_push().await, "server push message!");
        let gateway = format!("gw{}-", address / 4);
        assert!(client.who().await.starts_with(&gateway));
    }
    scene.gateway.signal(Signal::TERM);
    assert!(scene.gateway.ended().await.success());
}
