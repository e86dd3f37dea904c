//! How much slower a client is while another one attacks. Figures, not
//! assertions: `cargo test --release -p tce-gateway --test end_to_end
//! isolation_figures -- --ignored --nocapture --test-threads 1`.

use std::time::{Duration, Instant};

use tokio::{
    io::AsyncWriteExt,
    task::{AbortHandle, JoinSet},
    time::sleep,
};

use crate::common::{
    client::{Client, echo},
    plan::Plan,
    raw::{Message, Raw, deflate, frame},
    scene::Scene,
};

const SAMPLES: usize = 2000;

/// The median, the 99th percentile and the maximum of a client's calls, in
/// microseconds.
async fn measure(client: &Client) -> [u128; 3] {
    let mut times = Vec::new();
    for _ in 0..SAMPLES {
        let start = Instant::now();
        client.works().await;
        times.push(start.elapsed().as_micros());
    }
    times.sort_unstable();
    [
        times[SAMPLES / 2],
        times[SAMPLES * 99 / 100],
        times[SAMPLES - 1],
    ]
}

/// Sends the same bytes again and again.
fn flood(attackers: &mut JoinSet<()>, scene: &Scene, bytes: Vec<u8>) -> AbortHandle {
    let address = scene.gateway.addresses()[0].clone();
    attackers.spawn(async move {
        loop {
            let mut client = Raw::connect(&address).await;
            while client.0.write_all(&bytes).await.is_ok() {}
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures, and takes a minute"]
async fn clients_beside_an_attacker() {
    println!("upstream, attack: p50, p99, max in microseconds");
    for (name, plan) in [
        ("direct", Plan::direct()),
        ("RabbitMQ", Plan::rabbitmq()),
        ("RabbitMQ in batches", Plan::rabbitmq_in_batches()),
    ] {
        let scene = Scene::start(plan, &["gw0"]).await;
        let bystander = scene.client(0).await;
        measure(&bystander).await;
        println!("{name}, none: {:?}", measure(&bystander).await);
        let mut slow = Vec::new();
        for attackers in [1, 11] {
            while slow.len() < attackers {
                let mut client = Raw::connect(&scene.gateway.addresses()[0]).await;
                let calls = (0..1024).map(|number| echo(number, "gate").frame());
                client.send(&calls.collect::<Vec<_>>().concat()).await;
                slow.push(client);
            }
            let first = measure(&bystander).await;
            println!("{name}, {attackers} x 1,024 slow calls: {first:?}");
        }
        scene.server.seen.open_gate();
        drop(slow);
        sleep(Duration::from_secs(1)).await;
        if name == "direct" {
            floods(&scene, &bystander).await;
        }
    }
}

async fn floods(scene: &Scene, bystander: &Client) {
    let bombs = |size: usize| {
        let bomb = Message {
            calltype: 0x21,
            ..echo(2, &"0".repeat(size))
        };
        frame(1, &deflate(&bomb.bytes())).repeat(20)
    };
    let calls = Message {
        calltype: 0x21,
        ..echo(2, "hello")
    };
    for (name, bytes) in [
        ("4 x bombs that inflate to 3 MiB", bombs(3 << 20)),
        ("4 x bombs that inflate to 16 MiB", bombs(16 << 20)),
        ("4 x oneway calls", calls.frame().repeat(2000)),
        ("4 x malformed messages", frame(0, &[7]).repeat(10_000)),
    ] {
        let mut attackers = JoinSet::new();
        for _ in 0..4 {
            flood(&mut attackers, scene, bytes.clone());
        }
        sleep(Duration::from_millis(500)).await;
        println!("direct, {name}: {:?}", measure(bystander).await);
        attackers.shutdown().await;
        sleep(Duration::from_secs(2)).await;
    }
}
