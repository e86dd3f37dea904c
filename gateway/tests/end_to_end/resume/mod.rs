//! Clients that lose their connection miss no push, and handle none twice.

pub(crate) mod faults;
mod redis;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tce_runtime::{
    Communicator, Connection, ConnectionEvent, Context, Fault, TypedProxy, config::Options,
};
use tce_test_faults::FaultProxy;
use tce_test_redis::RedisServer;
use tce_tests::test::{ITerminal, ITerminalPrx, ITerminalServant, ServerPrx};
use tokio::time::sleep;

use crate::common::{
    house::{House, open_queues},
    plan::{Front, Plan},
    raw::{Message, Raw, string},
    watching::{eventually, within},
};

fn resuming() -> Plan {
    keeping_for("60")
}

fn keeping_for(seconds: &str) -> Plan {
    Plan::memory()
        .property("userid_check", "true")
        .property("auth", "token")
        .property("resume_time", seconds)
}

fn shared(redis: &RedisServer) -> Plan {
    resuming()
        .property("presence", "redis")
        .property("redis", &redis.url())
}

/// What a client has received.
#[derive(Default)]
struct Received {
    pushes: Mutex<Vec<String>>,
    /// `recovered` of each login.
    logins: Mutex<Vec<bool>>,
}

impl Received {
    fn pushes(&self) -> Vec<String> {
        self.pushes.lock().unwrap().clone()
    }

    fn logins(&self) -> Vec<bool> {
        self.logins.lock().unwrap().clone()
    }

    /// Waits until it has received exactly this.
    async fn is(&self, expected: &[&str]) {
        let what = format!("{expected:?}");
        eventually(&what, || self.pushes().len() >= expected.len()).await;
        assert_eq!(self.pushes(), expected);
    }

    async fn logged_in(&self, expected: &[bool]) {
        let what = format!("logins {expected:?}");
        eventually(&what, || self.logins().len() >= expected.len()).await;
        assert_eq!(self.logins(), expected);
    }
}

struct Listener(Arc<Received>);

impl ITerminal for Listener {
    async fn on_message(&self, message: String, _: &Context) -> Result<(), Fault> {
        self.0.pushes.lock().unwrap().push(message);
        Ok(())
    }
}

/// A client that resumes, behind a proxy that cuts its connection.
struct Resuming {
    connection: Connection,
    received: Arc<Received>,
    wire: Arc<FaultProxy>,
}

fn wire_to(house: &House, front: Front) -> Arc<FaultProxy> {
    let port = house.address(front).port;
    Arc::new(FaultProxy::start(format!("127.0.0.1:{port}")))
}

impl Resuming {
    async fn start(house: &House, front: Front, user: &str) -> Self {
        let wire = wire_to(house, front);
        Self::start_through(house, front, user, None, wire).await
    }

    async fn start_through(
        house: &House,
        front: Front,
        user: &str,
        device: Option<&str>,
        wire: Arc<FaultProxy>,
    ) -> Self {
        let mut address = house.address(front).clone();
        address.port = wire.port();
        let communicator = Communicator::with_options(Options {
            token: Some(user.to_owned()),
            device_id: device.map(str::to_owned),
            resume: true,
            ..Options::default()
        });
        let server = within(ServerPrx::connect(&communicator, &address.to_string())).await;
        let connection = server.expect("the gateway listens").connection().clone();
        let received = Arc::new(Received::default());
        let noted = Arc::clone(&received);
        connection.on_event(move |_, event| {
            if let ConnectionEvent::Resumed { recovered } = event {
                noted.logins.lock().unwrap().push(*recovered);
            }
        });
        connection.add_servant(ITerminalServant::new(Listener(Arc::clone(&received))));
        let client = Self {
            connection,
            received,
            wire,
        };
        eventually("the first login", || {
            client.connection.recovered().is_some()
        })
        .await;
        client
    }

    /// Loses the connection, and lets no new one through.
    async fn go_away(&self, house: &House) {
        let before = house.gateway().connections();
        self.wire.set_refusing(true);
        self.wire.cut();
        eventually("the gateway notices", || {
            house.gateway().connections() < before
        })
        .await;
    }

    fn come_back(&self) {
        self.wire.set_refusing(false);
    }
}

/// A server that pushes to users of one gateway.
struct Pusher {
    gateway: Connection,
    _communicator: Communicator,
}

impl Pusher {
    async fn start(house: &House) -> Self {
        Self::to(house, 0).await
    }

    async fn to(house: &House, gateway: usize) -> Self {
        let communicator = Communicator::new();
        open_queues(&house.plan, "server", &communicator).await;
        let queue = format!("mq:{}", house.plan.returns(gateway));
        let gateway = communicator.connect(&queue).await;
        Self {
            gateway: gateway.expect("it is open for writing"),
            _communicator: communicator,
        }
    }

    async fn push(&self, user: &str, text: &str) {
        let terminal = ITerminalPrx::to_user(&self.gateway, user);
        within(terminal.on_message_oneway(text)).await.unwrap();
    }
}

#[tokio::test]
async fn a_client_gets_what_it_missed_in_order_and_once() {
    for front in [Front::Socket, Front::WebSocket] {
        let house = House::start(resuming()).await;
        let server = Pusher::start(&house).await;
        let anna = Resuming::start(&house, front, "anna").await;
        anna.received.logged_in(&[false]).await;
        server.push("anna", "1").await;
        anna.received.is(&["1"]).await;
        for round in 0..3 {
            anna.go_away(&house).await;
            server.push("anna", &format!("{round} a")).await;
            server.push("anna", &format!("{round} b")).await;
            anna.come_back();
            let logins = [&[false][..], &vec![true; round + 1]].concat();
            anna.received.logged_in(&logins).await;
            server.push("anna", &format!("{round} c")).await;
        }
        anna.received
            .is(&[
                "1", "0 a", "0 b", "0 c", "1 a", "1 b", "1 c", "2 a", "2 b", "2 c",
            ])
            .await;
        assert_eq!(anna.connection.recovered(), Some(true));
        assert_eq!(house.drops("user_gone"), 0);
        drop(anna);
        house.end().await;
    }
}

#[tokio::test]
async fn a_client_that_has_seen_no_push_misses_none() {
    let house = House::start(resuming()).await;
    let server = Pusher::start(&house).await;
    let anna = Resuming::start(&house, Front::Socket, "anna").await;
    anna.go_away(&house).await;
    server.push("anna", "first").await;
    anna.come_back();
    anna.received.is(&["first"]).await;
    anna.received.logged_in(&[false, true]).await;
    drop(anna);
    house.end().await;
}

/// What replay has sent counts as handled at the next loss.
#[tokio::test]
async fn replayed_pushes_are_not_sent_again() {
    let house = House::start(resuming()).await;
    let server = Pusher::start(&house).await;
    let anna = Resuming::start(&house, Front::WebSocket, "anna").await;
    anna.go_away(&house).await;
    server.push("anna", "a").await;
    anna.come_back();
    anna.received.is(&["a"]).await;
    let before = house.snapshot().totals.pushes;
    anna.go_away(&house).await;
    anna.come_back();
    anna.received.logged_in(&[false, true, true]).await;
    server.push("anna", "b").await;
    anna.received.is(&["a", "b"]).await;
    assert_eq!(house.snapshot().totals.pushes, before + 1);
    drop(anna);
    house.end().await;
}

#[tokio::test]
async fn broadcasts_and_pushes_share_one_order() {
    let house = House::start(resuming()).await;
    let server = Pusher::start(&house).await;
    let front = Front::Socket;
    let anna = Resuming::start(&house, front, "anna").await;
    // A client that does not ask for it gets what it is there for.
    let mut ben = house.user("ben").await;
    ben.works().await;
    let mut expected = Vec::new();
    for round in 0..3 {
        if round == 1 {
            anna.go_away(&house).await;
        }
        // Both are known to have arrived before the next one is sent: they come by two
        // queues.
        let (one, all) = (format!("{round} to anna"), format!("{round} to all"));
        server.push("anna", &one).await;
        server.push("ben", &one).await;
        assert_eq!(ben.next_push().await, one);
        house.server().tell_all(&house.plan, &all).await;
        assert_eq!(ben.next_push().await, all);
        expected.extend([one, all]);
        if round == 1 {
            anna.come_back();
            anna.received.logged_in(&[false, true]).await;
        }
    }
    let expected: Vec<_> = expected.iter().map(String::as_str).collect();
    anna.received.is(&expected).await;
    drop((anna, ben));
    house.end().await;
}

#[tokio::test]
async fn too_much_was_pushed_meanwhile() {
    let plan = resuming().property("resume_bytes", "2048");
    let house = House::start(plan).await;
    let server = Pusher::start(&house).await;
    let anna = Resuming::start(&house, Front::Socket, "anna").await;
    server.push("anna", "before").await;
    anna.received.is(&["before"]).await;
    anna.go_away(&house).await;
    for number in 0..100 {
        server.push("anna", &format!("{number}")).await;
    }
    anna.come_back();
    anna.received.logged_in(&[false, false]).await;
    server.push("anna", "after").await;
    eventually("the last push", || {
        anna.received
            .pushes()
            .last()
            .is_some_and(|it| it == "after")
    })
    .await;
    let pushes = anna.received.pushes();
    assert!((3..50).contains(&pushes.len()), "{pushes:?}");
    // What is left comes in order, without a gap.
    let rest: Vec<usize> = pushes[1..pushes.len() - 1]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
    assert_eq!(rest, (100 - rest.len()..100).collect::<Vec<_>>());
    // The history goes on from there.
    anna.go_away(&house).await;
    server.push("anna", "at last").await;
    anna.come_back();
    anna.received.logged_in(&[false, false, true]).await;
    drop(anna);
    house.end().await;
}

#[tokio::test]
async fn a_client_that_stays_away_too_long_is_told_so() {
    let house = House::start(keeping_for("0.3")).await;
    let server = Pusher::start(&house).await;
    let anna = Resuming::start(&house, Front::Socket, "anna").await;
    anna.go_away(&house).await;
    server.push("anna", "kept for a moment").await;
    sleep(Duration::from_secs(1)).await;
    server.push("anna", "for a user who is gone").await;
    house.dropped("user_gone", 1).await;
    anna.come_back();
    anna.received.logged_in(&[false, false]).await;
    server.push("anna", "new").await;
    anna.received.is(&["new"]).await;
    drop(anna);
    house.end().await;
}

#[tokio::test]
async fn nothing_is_kept_for_a_client_that_closes_its_connection() {
    let house = House::start(resuming()).await;
    let server = Pusher::start(&house).await;
    for front in [Front::Socket, Front::WebSocket] {
        let before = house.drops("user_gone");
        let anna = Resuming::start(&house, front, "anna").await;
        anna.connection.close();
        eventually("it has gone", || house.gateway().connections() == 0).await;
        server.push("anna", "too late").await;
        house.dropped("user_gone", before + 1).await;
    }
    house.end().await;
}

/// The device that has taken over gets all pushes; the other one is told that it has
/// missed some.
#[tokio::test]
async fn a_login_elsewhere_ends_what_was_kept() {
    let house = House::start(resuming()).await;
    let server = Pusher::start(&house).await;
    let phone = Resuming::start(&house, Front::Socket, "anna").await;
    phone.go_away(&house).await;
    server.push("anna", "for the phone").await;
    let desk = Resuming::start(&house, Front::WebSocket, "anna").await;
    server.push("anna", "for the desk").await;
    desk.received.is(&["for the desk"]).await;
    phone.come_back();
    phone.received.logged_in(&[false, false]).await;
    server.push("anna", "for the phone again").await;
    phone.received.is(&["for the phone again"]).await;
    drop((phone, desk));
    house.end().await;
}

#[tokio::test]
async fn each_device_of_a_user_has_a_history_of_its_own() {
    let plan = resuming().property("second_login", "several");
    let house = House::start(plan).await;
    let server = Pusher::start(&house).await;
    let mut devices = Vec::new();
    for device in ["phone", "desk"] {
        let wire = wire_to(&house, Front::Socket);
        let made = Resuming::start_through(&house, Front::Socket, "anna", Some(device), wire);
        devices.push(made.await);
    }
    devices[0].go_away(&house).await;
    server.push("anna", "to both").await;
    devices[1].received.is(&["to both"]).await;
    devices[0].come_back();
    devices[0].received.is(&["to both"]).await;
    devices[0].received.logged_in(&[false, true]).await;
    devices[1].received.logged_in(&[false]).await;
    drop(devices);
    house.end().await;
}

/// `login`, byte for byte.
pub(crate) fn login(user: &str, resume: Option<&str>) -> Message {
    let mut extra = vec![("__token__", user)];
    extra.extend(resume.map(|resume| ("__resume__", resume)));
    let login = Message {
        ifidx: 65535,
        ..Message::call(1, 2, Vec::new())
    };
    login.with_extra(&extra)
}

/// Where a RETURN of `login` says that a session begins.
pub(crate) fn start(answer: &Message) -> (&str, &str, &str) {
    assert_eq!(answer.errcode, 0);
    let extra = |key| answer.extra(key).unwrap_or_default();
    (
        extra("__epoch__"),
        extra("__offset__"),
        extra("__recovered__"),
    )
}

/// The text of a push, and where it stands.
pub(crate) fn pushed(push: &Message) -> (Vec<u8>, Option<&str>) {
    (push.params.clone(), push.extra("__offset__"))
}

pub(crate) async fn raw_at(house: &House, gateway: usize) -> Raw {
    Raw::connect(house.address_of(gateway, Front::Socket)).await
}

/// The gateway has not noticed that the first connection is lost.
#[tokio::test]
async fn a_resume_replaces_a_connection_that_is_lost_unnoticed() {
    for policy in ["replace", "refuse", "several"] {
        let house = House::start(resuming().property("second_login", policy)).await;
        let server = Pusher::start(&house).await;
        let mut first = house.raw().await;
        let answer = first.call(&login("anna", Some(""))).await;
        let (epoch, offset, recovered) = start(&answer);
        assert_eq!((epoch.len(), offset, recovered), (16, "0", "0"));
        server.push("anna", "a").await;
        let push = first.message().await;
        assert_eq!(
            (push.extra("__epoch__"), push.extra("__offset__")),
            (Some(epoch), Some("1"))
        );
        let mut second = house.raw().await;
        let resumed = second
            .call(&login("anna", Some(&format!("{epoch}:0"))))
            .await;
        assert_eq!(start(&resumed), (epoch, "0", "1"));
        let again = second.message().await;
        assert_eq!(pushed(&again), (string("a"), Some("1")));
        first.closed().await;
        server.push("anna", "b").await;
        let push = second.message().await;
        assert_eq!(pushed(&push), (string("b"), Some("2")));
        drop(second);
        house.end().await;
    }
}

/// Nothing of it reaches clients that have not asked, nor another user.
#[tokio::test]
async fn only_who_asks_and_is_the_same_user_resumes() {
    let house = House::start(resuming()).await;
    let server = Pusher::start(&house).await;
    let mut plain = house.raw().await;
    let answer = plain.call(&login("ben", None)).await;
    assert_eq!(start(&answer), ("", "", ""));
    server.push("ben", "hello").await;
    let push = plain.message().await;
    assert_eq!(pushed(&push), (string("hello"), None));

    let mut anna = house.raw().await;
    let answer = anna.call(&login("anna", Some("no epoch"))).await;
    let (epoch, ..) = start(&answer);
    server.push("anna", "for anna").await;
    anna.message().await;
    drop(anna);
    let mut thief = house.raw().await;
    let stolen = thief
        .call(&login("carl", Some(&format!("{epoch}:0"))))
        .await;
    let (other, offset, recovered) = start(&stolen);
    assert_ne!(other, epoch);
    assert_eq!((offset, recovered), ("0", "0"));
    // An offset that there was not begins anew, too.
    let mut anna = house.raw().await;
    let answer = anna.call(&login("anna", Some(&format!("{epoch}:7")))).await;
    assert_ne!(start(&answer).0, epoch);
    drop((plain, thief, anna));
    house.end().await;
}
