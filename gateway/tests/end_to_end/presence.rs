//! Users of several gateways: who is on line, reaching them anywhere, and Redis that is
//! slow or away.

use std::{process::Command, time::Duration};

use rustix::process::Signal;
use tce_gateway::idl::gateway::{IGatewayControlPrx, Push};
use tce_runtime::{CloseCode, ErrorCode, TypedProxy, config::Options};
use tce_test_redis::RedisServer;
use tce_tests::test::ITerminalPrx;
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};

use crate::{
    common::{
        client::Client,
        house::{House, Server},
        plan::{Front, Plan},
        process::GatewayProcess,
        raw::{Message, Raw, string},
        watching::{eventually, eventually_async, soon, within},
    },
    resume::{login, raw_at, start},
};

/// Time between two refreshes.
const REFRESH: Duration = Duration::from_millis(500);

/// Gateways that log users in by name, and share their presence.
fn sharing(plan: Plan, redis: &RedisServer) -> Plan {
    by_name(plan)
        .property("presence", "redis")
        .property("redis", &redis.url())
        .property("presence_refresh", &REFRESH.as_secs_f64().to_string())
}

fn by_name(plan: Plan) -> Plan {
    plan.property("userid_check", "true")
        .property("auth", "token")
}

fn named(user: &str) -> Options {
    Options {
        token: Some(user.to_owned()),
        ..Options::default()
    }
}

/// A user who has logged in at a gateway.
async fn user_at(house: &House, gateway: usize, name: &str) -> Client {
    let client = house.client_of(gateway, Front::Socket, named(name)).await;
    client.works().await;
    client
}

/// The control interface of a gateway, by its queue.
async fn control_of(house: &House, gateway: usize) -> IGatewayControlPrx {
    control(&house.plan, house.server(), gateway).await
}

async fn control(plan: &Plan, server: &Server, gateway: usize) -> IGatewayControlPrx {
    let queue = format!("mq:{}", plan.returns(gateway));
    let control = IGatewayControlPrx::connect(&server.communicator, &queue).await;
    control.expect("it is open for writing")
}

/// Waits until a gateway knows whether a user is on line.
async fn is_on_line(control: &IGatewayControlPrx, user: &str, expected: bool) {
    eventually_async(&format!("{user} is on line: {expected}"), async || {
        let answered = control.is_online(&[user.to_owned()]).await;
        answered.is_ok_and(|on_line| on_line == [expected])
    })
    .await;
}

fn names(users: &[&str]) -> Vec<String> {
    users.iter().map(|&user| user.to_owned()).collect()
}

/// All users of a gateway's pages, sorted.
async fn all_on_line(control: &IGatewayControlPrx, limit: i32) -> Vec<String> {
    let (mut users, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = within(control.online(&cursor, limit)).await.unwrap();
        users.extend(page.users);
        if page.cursor.is_empty() {
            users.sort();
            return users;
        }
        cursor = page.cursor;
    }
}

#[tokio::test]
async fn a_gateway_knows_its_own_users_without_redis() {
    let house = House::start(by_name(Plan::rabbitmq())).await;
    let control = control_of(&house, 0).await;
    let clients = [
        user_at(&house, 0, "anna").await,
        user_at(&house, 0, "ben").await,
        user_at(&house, 0, "carl").await,
    ];
    let asked = names(&["anna", "nobody", "carl"]);
    let on_line = within(control.is_online(&asked)).await.unwrap();
    assert_eq!(on_line, [true, false, true]);
    assert_eq!(all_on_line(&control, 2).await, ["anna", "ben", "carl"]);
    let count = within(control.count()).await.unwrap();
    assert_eq!((count.gateways, count.users, count.sessions), (1, 3, 3));
    let sessions = within(control.sessions("ben")).await.unwrap();
    let [session] = sessions.as_slice() else {
        panic!("{sessions:?}");
    };
    assert_eq!((&*session.user_id, &*session.gateway), ("ben", "gw0"));
    assert_eq!(session.queue, house.plan.returns(0));
    assert!(session.is_here && session.address.starts_with("127.0.0.1:"));
    assert_eq!(session.endpoint, "gw0_socket");
    assert!(within(control.sessions("nobody")).await.unwrap().is_empty());
    drop(clients);
    is_on_line(&control, "anna", false).await;
    house.end().await;
}

/// Messages to the queue that a gateway does not read any more would be lost.
#[tokio::test]
async fn a_reload_that_changes_the_queue_is_announced() {
    let redis = RedisServer::start();
    let house = House::start(sharing(Plan::rabbitmq().gateways(2), &redis)).await;
    let (old, new) = (house.plan.returns(1), house.plan.queue("gw1_renamed"));
    let control = control_of(&house, 0).await;
    let mut ben = user_at(&house, 1, "ben").await;
    is_on_line(&control, "ben", true).await;
    let text = std::fs::read_to_string(house.file()).unwrap();
    std::fs::write(house.file(), text.replace(&old, &new)).unwrap();
    within(house.gateways[1].reload()).await.unwrap();
    eventually_async("the new queue is known", async || {
        let sessions = within(control.sessions("ben")).await.unwrap();
        sessions.iter().all(|session| session.queue == new)
    })
    .await;
    let found = within(ITerminalPrx::to_user_anywhere(control.connection(), "ben")).await;
    within(found.unwrap().on_message_oneway("hello"))
        .await
        .unwrap();
    assert_eq!(ben.next_push().await, "hello");
    drop(ben);
    house.end().await;
}

#[tokio::test]
async fn users_of_all_gateways_are_known_to_all() {
    let redis = RedisServer::start();
    let house = House::start(sharing(Plan::rabbitmq().gateways(2), &redis)).await;
    let controls = [control_of(&house, 0).await, control_of(&house, 1).await];
    let anna = user_at(&house, 0, "anna").await;
    let ben = user_at(&house, 1, "ben").await;
    for control in &controls {
        is_on_line(control, "anna", true).await;
        is_on_line(control, "ben", true).await;
        assert_eq!(all_on_line(control, 1).await, ["anna", "ben"]);
        let sessions = within(control.sessions("ben")).await.unwrap();
        assert_eq!(sessions.len(), 1, "{sessions:?}");
        assert_eq!(sessions[0].gateway, "gw1");
        assert_eq!(sessions[0].queue, house.plan.returns(1));
    }
    eventually_async("both are counted", async || {
        let counts = [controls[0].count().await, controls[1].count().await];
        counts
            .iter()
            .flatten()
            .all(|count| count.users == 2 && count.gateways == 2)
    })
    .await;
    // Longer than a key lives that is not refreshed.
    sleep(4 * REFRESH).await;
    let asked = names(&["anna", "ben"]);
    let on_line = within(controls[0].is_online(&asked)).await.unwrap();
    assert_eq!(on_line, [true, true]);
    drop(ben);
    is_on_line(&controls[0], "ben", false).await;
    is_on_line(&controls[1], "anna", true).await;
    drop(anna);
    house.end().await;
}

/// The second gateway runs as a program, to be killed.
#[tokio::test]
async fn the_users_of_a_dead_gateway_are_off_line_after_three_refreshes() {
    let redis = RedisServer::start();
    let plan = sharing(Plan::rabbitmq().gateways(2), &redis);
    let folder = tempfile::tempdir().unwrap();
    let file = plan.write(folder.path(), &[]);
    let server = Server::start(&plan, "server0").await;
    let living = GatewayProcess::start(&file, &["gw0"], 4).await;
    let mut dying = GatewayProcess::start(&file, &["gw1"], 4).await;
    let address = dying.addresses()[0].to_string();
    let ben = Client::connect(&address, folder.path(), named("ben"))
        .await
        .unwrap();
    ben.works().await;
    let control = control(&plan, &server, 0).await;
    is_on_line(&control, "ben", true).await;
    dying.signal(Signal::KILL);
    let killed = Instant::now();
    dying.ended().await;
    is_on_line(&control, "ben", false).await;
    // What a busy machine takes is added.
    let took = killed.elapsed();
    assert!(took < 3 * REFRESH + Duration::from_secs(1), "{took:?}");
    assert!(within(control.sessions("ben")).await.unwrap().is_empty());
    drop((ben, living));
}

/// No login, call and push waits for Redis, and everything is announced afterwards.
#[tokio::test]
async fn redis_that_does_not_answer_stalls_nothing() {
    let mut redis = RedisServer::start();
    let house = House::start(sharing(Plan::rabbitmq().gateways(2), &redis)).await;
    let control = control_of(&house, 0).await;
    let anna = user_at(&house, 0, "anna").await;
    is_on_line(&control, "anna", true).await;
    for is_killed in [false, true] {
        match is_killed {
            false => redis.pause(),
            true => redis.kill(),
        }
        let mut ben = soon(user_at(&house, 1, "ben")).await;
        let began = Instant::now();
        for _ in 0..20 {
            soon(anna.server.echo("push ben hello")).await.unwrap();
            soon(ben.server.bidirection()).await.unwrap();
        }
        assert!(
            began.elapsed() < Duration::from_secs(2),
            "{:?}",
            began.elapsed()
        );
        assert_eq!(ben.next_push().await, "server push message!");
        // What concerns other gateways fails, after a bounded time.
        eventually_async("the gateway knows that Redis is away", async || {
            let answered = control.sessions("ben").await;
            answered.is_err_and(|error| error.code() == ErrorCode::SendFailed)
        })
        .await;
        match is_killed {
            false => redis.resume(),
            true => redis.restart(),
        }
        is_on_line(&control, "ben", true).await;
        is_on_line(&control_of(&house, 1).await, "anna", true).await;
        drop(ben);
        is_on_line(&control, "ben", false).await;
    }
    drop(anna);
    house.end().await;
}

#[tokio::test]
async fn redis_that_loses_its_data_is_told_again() {
    let redis = RedisServer::start();
    let house = House::start(sharing(Plan::rabbitmq().gateways(2), &redis)).await;
    let control = control_of(&house, 0).await;
    let ben = user_at(&house, 1, "ben").await;
    is_on_line(&control, "ben", true).await;
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let () = redis::cmd("FLUSHALL")
        .query_async(&mut connection)
        .await
        .unwrap();
    is_on_line(&control, "ben", true).await;
    drop(ben);
    house.end().await;
}

/// As after a failover, when the name leads to a new primary and the old one is read-only.
#[tokio::test]
async fn redis_that_takes_no_writes_any_more_is_connected_again() {
    let redis = RedisServer::start();
    let house = House::start(sharing(Plan::rabbitmq().gateways(2), &redis)).await;
    let control = control_of(&house, 0).await;
    let anna = user_at(&house, 1, "anna").await;
    is_on_line(&control, "anna", true).await;
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut replicate = async |host: &str, port: &str| {
        let mut command = redis::cmd("REPLICAOF");
        command.arg(host).arg(port);
        let () = command.query_async(&mut connection).await.unwrap();
    };
    replicate("127.0.0.1", "1").await;
    eventually_async("the gateway has left it", async || {
        let answered = control.sessions("anna").await;
        answered.is_err_and(|error| error.code() == ErrorCode::SendFailed)
    })
    .await;
    let ben = soon(user_at(&house, 1, "ben")).await;
    replicate("NO", "ONE").await;
    is_on_line(&control, "ben", true).await;
    is_on_line(&control, "anna", true).await;
    drop((anna, ben));
    house.end().await;
}

/// Neither in the log nor in the configuration that is printed.
#[tokio::test]
async fn the_password_of_redis_is_not_shown() {
    const PASSWORD: &str = "s3cret-of-redis";
    let redis = RedisServer::start_with(&["--requirepass", PASSWORD]);
    let plan = sharing(Plan::rabbitmq(), &redis);
    let folder = tempfile::tempdir().unwrap();
    let file = plan.write(folder.path(), &[]);
    for (password, line) in [
        (PASSWORD, "the users are announced in Redis"),
        ("s3cret-of-another", "can't announce the users in Redis"),
    ] {
        let url = format!("redis={}?pass={password}", redis.url());
        let arguments = ["gw0", "--set", &url, "--set", "log=debug"];
        let gateway = GatewayProcess::start(&file, &arguments, 4).await;
        gateway.logs(line).await;
        assert_eq!(gateway.logged("s3cret"), 0);
        let mut printing = Command::new(env!("CARGO_BIN_EXE_tce-gateway"));
        printing.arg(&file).args(arguments).arg("--print-config");
        let printed = String::from_utf8(printing.output().unwrap().stdout).unwrap();
        assert!(printed.contains(&redis.url()), "{printed}");
        assert!(!printed.contains("s3cret"), "{printed}");
    }
}

#[tokio::test]
async fn an_operator_reloads_a_running_gateway() {
    const TOKEN: &str = "a token of an operator";
    let plan = by_name(Plan::rabbitmq());
    let folder = tempfile::tempdir().unwrap();
    let file = plan.write(folder.path(), &[]);
    let token = format!("admin_token={TOKEN}");
    let arguments = ["gw0", "--set", "admin=127.0.0.1:0", "--set", &token];
    let gateway = GatewayProcess::start(&file, &arguments, 4).await;
    let admin = gateway.value("serving the admin page", "address");
    let reload = async || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tce-gateway"));
        command.args(["ctl", &admin, "reload", "--token", TOKEN]);
        let output = spawn_blocking(move || command.output()).await.unwrap();
        let output = output.expect("the program runs");
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.success(), text)
    };
    assert_eq!(reload().await, (true, "reloaded\n".to_owned()));
    gateway.logs("reloaded the configuration").await;
    std::fs::write(&file, "<SNS>").unwrap();
    let (is_reloaded, text) = reload().await;
    assert!(!is_reloaded && text.contains("services.xml:1:"), "{text}");
    assert_eq!(gateway.logged(TOKEN), 0);
}

#[tokio::test]
async fn a_server_reaches_users_at_any_gateway() {
    let redis = RedisServer::start();
    let house = House::start(sharing(Plan::rabbitmq().gateways(2), &redis)).await;
    let mut anna = user_at(&house, 0, "anna").await;
    let mut ben = user_at(&house, 1, "ben").await;
    let control = control_of(&house, 0).await;
    is_on_line(&control, "ben", true).await;
    for (name, client) in [("anna", &mut anna), ("ben", &mut ben)] {
        let found = within(ITerminalPrx::to_user_anywhere(control.connection(), name)).await;
        within(found.unwrap().on_message_oneway(name))
            .await
            .unwrap();
        assert_eq!(client.next_push().await, name);
    }
    let nobody = soon(ITerminalPrx::to_user_anywhere(
        control.connection(),
        "nobody",
    ))
    .await;
    assert_eq!(nobody.unwrap_err().code(), ErrorCode::UserOffline);
    drop((anna, ben));
    house.end().await;
}

/// One user at two gateways; each gets the push once.
#[tokio::test]
async fn a_user_at_two_gateways_is_reached_at_both() {
    for plan in [Plan::rabbitmq(), Plan::direct()] {
        let redis = RedisServer::start();
        let house = House::start(sharing(plan.gateways(2), &redis)).await;
        let mut there = [
            user_at(&house, 0, "anna").await,
            user_at(&house, 1, "anna").await,
        ];
        let caller = user_at(&house, 0, "ben").await;
        eventually_async("both gateways know of both", async || {
            let answer = caller.server.echo("push-anywhere anna hello").await;
            let answer = answer.expect("the server answers");
            sleep(Duration::from_millis(20)).await;
            let mut reached = true;
            for client in &mut there {
                let pushed = timeout(Duration::from_millis(200), client.pushed.recv());
                reached &= pushed.await.is_ok_and(|text| text.is_some());
            }
            reached && answer == "pushed"
        })
        .await;
        let answer = within(caller.server.echo("push-anywhere nobody hello")).await;
        assert_eq!(answer.unwrap(), "USER_OFFLINE");
        within(caller.server.echo("push-anywhere anna last"))
            .await
            .unwrap();
        for client in &mut there {
            while client.next_push().await != "last" {}
        }
        let more = timeout(Duration::from_millis(200), there[0].pushed.recv()).await;
        more.expect_err("each push arrives once");
        drop((there, caller));
        house.end().await;
    }
}

#[tokio::test]
async fn an_operator_disconnects_users_at_any_gateway() {
    let redis = RedisServer::start();
    let house = House::start(sharing(Plan::rabbitmq().gateways(2), &redis)).await;
    let control = control_of(&house, 0).await;
    for gateway in 0..2 {
        let ben = user_at(&house, gateway, "ben").await;
        is_on_line(&control, "ben", true).await;
        let closed = within(control.disconnect("ben", "", "maintenance")).await;
        assert_eq!(closed.unwrap(), 1);
        is_on_line(&control, "ben", false).await;
        eventually_async("the client knows why", async || {
            let called = ben.server.echo("x").await;
            let error = called.expect_err("an operator has disconnected it");
            error.close_code() == Some(CloseCode::Ended)
                && error.text().contains("maintenance")
                && !error.can_retry()
        })
        .await;
        drop(ben);
    }
    assert_eq!(within(control.disconnect("ben", "", "")).await.unwrap(), 0);
    let clients = [
        user_at(&house, 0, "anna").await,
        user_at(&house, 1, "carl").await,
    ];
    is_on_line(&control, "carl", true).await;
    within(control.disconnect_all("the end")).await.unwrap();
    is_on_line(&control, "anna", false).await;
    is_on_line(&control, "carl", false).await;
    drop(clients);
    house.end().await;
}

/// A user with a telephone at one gateway, and a tablet at the other.
#[tokio::test]
async fn the_devices_of_a_user_are_told_apart_at_all_gateways() {
    let redis = RedisServer::start();
    let plan = sharing(Plan::rabbitmq().gateways(2), &redis).property("second_login", "several");
    let house = House::start(plan).await;
    let control = control_of(&house, 0).await;
    let device = |device: &str| Options {
        device_id: Some(device.to_owned()),
        ..named("anna")
    };
    let mut phone = house.client_of(0, Front::Socket, device("phone")).await;
    let mut tablet = house.client_of(1, Front::Socket, device("tablet")).await;
    phone.works().await;
    tablet.works().await;
    let devices = async || {
        let sessions = within(control.sessions("anna")).await.unwrap();
        let mut devices: Vec<_> = sessions.into_iter().map(|it| it.device_id).collect();
        devices.sort();
        devices
    };
    eventually_async("both devices are known", async || {
        devices().await == ["phone", "tablet"]
    })
    .await;
    let anna = ITerminalPrx::to_user_anywhere(control.connection(), "anna");
    let anna = within(anna).await.unwrap();
    within(anna.on_message_oneway("both")).await.unwrap();
    let of_tablet = anna.with_extra([("__device_id__", "tablet")]);
    within(of_tablet.on_message_oneway("tablet")).await.unwrap();
    within(anna.on_message_oneway("last")).await.unwrap();
    for (client, expected) in [
        (&mut phone, &["both", "last"][..]),
        (&mut tablet, &["both", "tablet", "last"]),
    ] {
        for push in expected {
            assert_eq!(client.next_push().await, *push);
        }
    }
    let closed = within(control.disconnect("anna", "tablet", "")).await;
    assert_eq!(closed.unwrap(), 1);
    eventually_async("the tablet has gone", async || devices().await == ["phone"]).await;
    phone.works().await;
    drop((phone, tablet));
    house.end().await;
}

#[tokio::test]
async fn a_gateway_pushes_to_users_at_all_gateways() {
    let redis = RedisServer::start();
    let house = House::start(sharing(Plan::rabbitmq().gateways(2), &redis)).await;
    let control = control_of(&house, 1).await;
    let mut anna = user_at(&house, 0, "anna").await;
    let mut ben = user_at(&house, 1, "ben").await;
    is_on_line(&control, "anna", true).await;
    let message = Push {
        ifidx: 3,
        opidx: 0,
        parameters: string("hello all"),
        ..Push::default()
    };
    let users = names(&["anna", "nobody", "ben"]);
    let missed = within(control.push(&users, &message)).await.unwrap();
    assert_eq!(missed, ["nobody"]);
    assert_eq!(anna.next_push().await, "hello all");
    assert_eq!(ben.next_push().await, "hello all");
    let invalid = Push {
        ifidx: 70_000,
        ..message
    };
    let error = within(control.push(&users, &invalid)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::RemoteException);
    let many = vec!["x".to_owned(); 10_001];
    let error = within(control.is_online(&many)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::RemoteException);
    drop((anna, ben));
    house.end().await;
}

/// A user who logs in, and whose connection is lost. Returns the epoch of the history.
async fn user_away(house: &House, gateway: usize, control: &IGatewayControlPrx) -> String {
    let mut anna = raw_at(house, gateway).await;
    let answer = anna.call(&login("anna", Some(""))).await;
    let epoch = start(&answer).0.to_owned();
    is_on_line(control, "anna", true).await;
    drop(anna);
    is_on_line(control, "anna", false).await;
    epoch
}

/// Logs the user in again, who has handled `offset` pushes.
async fn back_at(house: &House, gateway: usize, epoch: &str, offset: usize) -> Raw {
    let mut anna = raw_at(house, gateway).await;
    let resume = format!("{epoch}:{offset}");
    let answer = anna.call(&login("anna", Some(&resume))).await;
    assert_eq!(start(&answer).2, "1", "all is kept");
    anna
}

/// The texts of the next pushes, sorted: several gateways may carry them.
async fn texts(anna: &mut Raw, count: usize) -> Vec<Vec<u8>> {
    let mut texts = Vec::new();
    for _ in 0..count {
        texts.push(within(anna.message()).await.params);
    }
    texts.sort();
    texts
}

fn push_of(text: &str) -> Push {
    Push {
        ifidx: 3,
        opidx: 0,
        parameters: string(text),
        ..Push::default()
    }
}

/// What the gateway of `control` knows of a user who was at `gateway`, gets pushes
/// meanwhile, comes back, and then stays away for too long.
async fn is_reached_while_away(house: &House, gateway: usize, control: &IGatewayControlPrx) {
    let epoch = user_away(house, gateway, control).await;
    let anna = soon(ITerminalPrx::to_user_anywhere(control.connection(), "anna")).await;
    within(anna.unwrap().on_message_oneway("by queue"))
        .await
        .unwrap();
    let users = names(&["anna", "nobody"]);
    let missed = within(control.push(&users, &push_of("by push"))).await;
    assert_eq!(missed.unwrap(), ["nobody"]);
    assert!(all_on_line(control, 10).await.is_empty());
    eventually_async("no session is counted", async || {
        let count = control.count().await;
        count.is_ok_and(|count| count.users == 0 && count.sessions == 0)
    })
    .await;
    let sessions = within(control.sessions("anna")).await.unwrap();
    let [away] = sessions.as_slice() else {
        panic!("{sessions:?}");
    };
    assert_eq!(away.gateway, format!("gw{gateway}"));
    assert_eq!(away.endpoint, format!("gw{gateway}_socket"));
    assert_eq!((&*away.connection_id, &*away.address), ("", ""));
    assert_eq!(away.queue, house.plan.returns(gateway));

    let mut anna = back_at(house, gateway, &epoch, 0).await;
    let got = texts(&mut anna, 2).await;
    assert_eq!(got, [string("by push"), string("by queue")]);
    is_on_line(control, "anna", true).await;
    let sessions = within(control.sessions("anna")).await.unwrap();
    assert!(sessions.len() == 1 && !sessions[0].connection_id.is_empty());

    drop(anna);
    is_on_line(control, "anna", false).await;
    eventually_async("the gateway waits no longer", async || {
        let found = ITerminalPrx::to_user_anywhere(control.connection(), "anna").await;
        found.is_err_and(|error| error.code() == ErrorCode::UserOffline)
    })
    .await;
    let missed = within(control.push(&users, &push_of("too late"))).await;
    assert_eq!(missed.unwrap(), users);
    assert!(within(control.sessions("anna")).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_user_who_is_away_is_reached_until_the_history_ends() {
    let house = House::start(by_name(Plan::rabbitmq()).property("resume_time", "4")).await;
    let control = control_of(&house, 0).await;
    is_reached_while_away(&house, 0, &control).await;
    house.end().await;
}

#[tokio::test]
async fn a_user_who_is_away_is_reached_at_any_gateway_until_the_history_ends() {
    let redis = RedisServer::start();
    let plan = sharing(Plan::rabbitmq().gateways(2), &redis).property("resume_time", "4");
    let house = House::start(plan).await;
    let control = control_of(&house, 0).await;
    is_reached_while_away(&house, 1, &control).await;
    is_reached_while_away(&house, 0, &control).await;
    house.end().await;
}

/// The client does not come back by itself, so nothing is kept for it.
#[tokio::test]
async fn a_user_whom_an_operator_disconnects_is_not_away() {
    let redis = RedisServer::start();
    let plan = sharing(Plan::rabbitmq().gateways(2), &redis).property("resume_time", "60");
    let house = House::start(plan).await;
    let control = control_of(&house, 0).await;
    for gateway in 0..2 {
        let mut anna = raw_at(&house, gateway).await;
        anna.call(&login("anna", Some(""))).await;
        is_on_line(&control, "anna", true).await;
        let closed = within(control.disconnect("anna", "", "the end")).await;
        assert_eq!(closed.unwrap(), 1);
        eventually_async("the user can't be reached", async || {
            let sessions = control.sessions("anna").await;
            sessions.is_ok_and(|sessions| sessions.is_empty())
        })
        .await;
        let missed = within(control.push(&names(&["anna"]), &push_of("x"))).await;
        assert_eq!(missed.unwrap(), ["anna"]);
        drop(anna);
    }
    house.end().await;
}

/// It misses what is pushed afterwards, and is told so.
#[tokio::test]
async fn an_operator_ends_what_is_kept_for_a_client_that_is_away() {
    let redis = RedisServer::start();
    let plan = sharing(Plan::rabbitmq().gateways(2), &redis).property("resume_time", "60");
    let house = House::start(plan).await;
    let control = control_of(&house, 0).await;
    let is_known = async |expected: bool| {
        eventually_async(&format!("the user is away: {expected}"), async || {
            let sessions = control.sessions("anna").await;
            sessions.is_ok_and(|sessions| sessions.is_empty() != expected)
        })
        .await;
    };
    for (gateway, is_for_all) in [(0, false), (1, false), (1, true)] {
        let epoch = user_away(&house, gateway, &control).await;
        is_known(true).await;
        // Neither another device nor another user.
        within(control.disconnect("anna", "tablet", ""))
            .await
            .unwrap();
        within(control.disconnect("ben", "", "")).await.unwrap();
        let missed = within(control.push(&names(&["anna"]), &push_of("x"))).await;
        assert!(missed.unwrap().is_empty());
        let closed = match is_for_all {
            false => within(control.disconnect("anna", "", "")).await,
            true => within(control.disconnect_all("")).await,
        };
        assert_eq!(closed.unwrap(), 0, "no connection is closed");
        is_known(false).await;
        let missed = within(control.push(&names(&["anna"]), &push_of("x"))).await;
        assert_eq!(missed.unwrap(), ["anna"]);
        let mut anna = raw_at(&house, gateway).await;
        let resume = format!("{epoch}:0");
        let answer = anna.call(&login("anna", Some(&resume))).await;
        let (new, offset, recovered) = start(&answer);
        assert!(new != epoch && (offset, recovered) == ("0", "0"), "{new}");
        within(control.disconnect("anna", "", "")).await.unwrap();
        is_known(false).await;
    }
    house.end().await;
}

/// A user with a telephone at the first gateway, and a tablet that moves from there to the
/// second one: pushes go to both gateways, and the history of the tablet is at both.
#[tokio::test]
async fn a_device_that_has_moved_gets_each_push_once_while_another_one_stays() {
    let redis = RedisServer::start();
    let plan = sharing(Plan::rabbitmq().gateways(2), &redis)
        .property("second_login", "several")
        .property("resume_time", "60");
    let house = House::start(plan).await;
    let control = control_of(&house, 0).await;
    let login_of = |device: &str, resume: &str| {
        let extra = [
            ("__token__", "anna"),
            ("__device_id__", device),
            ("__resume__", resume),
        ];
        login("anna", None).with_extra(&extra)
    };
    let mut phone = raw_at(&house, 0).await;
    phone.call(&login_of("phone", "")).await;
    let mut tablet = raw_at(&house, 0).await;
    let answer = tablet.call(&login_of("tablet", "")).await;
    let resume = format!("{}:0", start(&answer).0);
    drop(tablet);
    eventually("the tablet has gone", || house.gateway().connections() == 1).await;
    let mut tablet = raw_at(&house, 1).await;
    let answer = tablet.call(&login_of("tablet", &resume)).await;
    assert_eq!(start(&answer).2, "1");
    eventually_async("both gateways are known", async || {
        let sessions = control.sessions("anna").await.unwrap_or_default();
        let connected = sessions.iter().filter(|it| !it.connection_id.is_empty());
        connected.count() == 2
    })
    .await;
    let anna = ITerminalPrx::to_user_anywhere(control.connection(), "anna");
    let anna = within(anna).await.unwrap();
    let mut expected = Vec::new();
    for number in 0..10 {
        let (queued, pushed) = (format!("queued {number}"), format!("pushed {number}"));
        within(anna.on_message_oneway(&queued)).await.unwrap();
        let missed = within(control.push(&names(&["anna"]), &push_of(&pushed))).await;
        assert!(missed.unwrap().is_empty());
        expected.extend([string(&queued), string(&pushed)]);
    }
    expected.sort();
    for device in [&mut phone, &mut tablet] {
        assert_eq!(texts(device, expected.len()).await, expected);
        let more = timeout(Duration::from_millis(200), device.message()).await;
        more.expect_err("each push arrives once");
    }
    drop((phone, tablet));
    house.end().await;
}

/// At each moment the user is known once, and each push arrives once.
#[tokio::test]
async fn a_user_who_comes_back_at_another_gateway_is_reached_once() {
    const PUSHES: usize = 40;
    let redis = RedisServer::start();
    let plan = sharing(Plan::rabbitmq().gateways(2), &redis).property("resume_time", "60");
    let house = House::start(plan).await;
    let control = control_of(&house, 0).await;
    let epoch = user_away(&house, 1, &control).await;
    let mut back = None;
    for number in 0..PUSHES {
        if number == PUSHES / 8 {
            back = Some(back_at(&house, 0, &epoch, 0).await);
        }
        let text = format!("{number:02}");
        let missed = match number % 2 {
            0 => within(control.push(&names(&["anna"]), &push_of(&text))).await,
            _ => {
                let anna = ITerminalPrx::to_user_anywhere(control.connection(), "anna");
                let anna = within(anna).await.unwrap();
                within(anna.on_message_oneway(&text)).await.unwrap();
                Ok(Vec::new())
            }
        };
        assert!(missed.unwrap().is_empty(), "push {number}");
        let sessions = within(control.sessions("anna")).await.unwrap();
        assert_eq!(sessions.len(), 1, "push {number}: {sessions:?}");
        // More than the gateway before waits for, in all.
        sleep(Duration::from_millis(100)).await;
    }
    let mut anna = back.expect("it is back");
    let expected = (0..PUSHES).map(|number| string(&format!("{number:02}")));
    let got = texts(&mut anna, PUSHES).await;
    assert_eq!(got, expected.collect::<Vec<_>>());
    let more = timeout(Duration::from_millis(300), anna.message()).await;
    more.expect_err("each push arrives once");
    drop(anna);
    house.end().await;
}

const CONTROL: u16 = 65003;
const DISCONNECT_ALL: u16 = 5;

/// Whatever a client writes, the control interface does not answer it.
#[tokio::test]
async fn clients_do_not_reach_the_control_interface() {
    for plan in [Plan::rabbitmq(), Plan::direct()] {
        let house = House::start(plan).await;
        let victim = house.client(Front::Socket).await;
        victim.works().await;
        let me = victim.who().await;
        let mut forger = house.raw().await;
        let returns = house.plan.returns(0);
        let forged: [&[(&str, &str)]; 6] = [
            &[],
            &[("__user_id__", "")],
            &[("__user_id__", &me)],
            &[("__mq_return__", &returns)],
            &[("__token__", "x"), ("__user_id__", "\u{0}")],
            &[("__user_id__", ""), ("__user_id__", &me)],
        ];
        let mut sequence = 0;
        for extra in forged {
            for call_id in [0, 0x8000, u16::MAX] {
                sequence += 1;
                let call = Message {
                    ifidx: CONTROL,
                    call_id,
                    ..Message::call(sequence, DISCONNECT_ALL, string("forged")).with_extra(extra)
                };
                let oneway = Message {
                    calltype: 0x21,
                    ..call.clone()
                };
                forger.send(&oneway.frame()).await;
                let answer = forger.call(&call).await;
                assert_eq!(
                    answer.errcode,
                    ErrorCode::InterfaceNotFound.to_wire(),
                    "{extra:?}"
                );
            }
        }
        victim.works().await;
        assert!(victim.server.connection().is_connected());
        drop((victim, forger));
        house.end().await;
    }
}
