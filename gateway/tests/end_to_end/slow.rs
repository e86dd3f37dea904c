//! Clients that do not read.

use crate::common::{
    client::echo,
    house::House,
    plan::Plan,
    raw::Raw,
    scene::Scene,
    watching::{eventually, within},
};

/// A client requests more than all buffers hold and does not read: the gateway
/// stops reading from it, then disconnects it.
async fn a_client_that_does_not_read(plan: Plan) {
    let plan = plan
        .property("send_buffer", "1048576")
        .property("stall_time", "1.5");
    let scene = Scene::start(plan, &["gw0"]).await;
    let gateway = &scene.gateway;
    let bystander = scene.client(1).await;
    within(bystander.server.echo("large 65536")).await.unwrap();
    let before = gateway.resident();
    let mut slow = Raw::connect(&gateway.addresses()[0]).await;
    let asking = (0..4096).map(|number| echo(number, "large 65536").frame());
    slow.send(&asking.collect::<Vec<_>>().concat()).await;
    let mut most = before;
    within(async {
        while !gateway.has_ended_a_connection() {
            bystander.works().await;
            most = most.max(gateway.resident());
        }
    })
    .await;
    slow.closed().await;
    bystander.works().await;
    assert_eq!(gateway.logged("slow_reader"), 1);
    let grown = most.saturating_sub(before) >> 20;
    assert!(grown < 32, "{grown} MiB, of 256 that were asked for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_costs_little_and_only_itself() {
    a_client_that_does_not_read(Plan::direct()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_costs_little_by_queue() {
    a_client_that_does_not_read(Plan::rabbitmq()).await;
}

/// Pushes to a client that does not read are dropped once its buffer is full; the
/// connection stays open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_to_a_client_that_does_not_read_are_dropped() {
    let plan = Plan::direct()
        .property("send_buffer", "65536")
        .property("stall_time", "1.5")
        .property("userid_check", "true")
        .property("auth", "token");
    let house = House::start(plan).await;
    let mut slow = house.raw().await;
    let hello = echo(1, "hello").with_extra(&[("__token__", "slow")]);
    assert_eq!(slow.call(&hello).await.errcode, 0);
    let busy = house.user("busy").await;
    // The first message, with the token, has to be small.
    busy.works().await;
    let push = format!("push slow {}", "x".repeat(1 << 18));
    within(async {
        while house.drops("slow_reader") == 0 {
            busy.server.echo(&push).await.expect("the server pushes");
        }
    })
    .await;
    eventually("the slow one is disconnected", || {
        house.gateway().connections() == 1
    })
    .await;
    busy.works().await;
    drop((busy, slow));
    house.end().await;
}
