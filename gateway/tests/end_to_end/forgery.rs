//! Clients that forge fields which the gateway sets.

use tce_runtime::TypedProxy;
use tce_tests::test::{ITerminalPrx, ServerPrx};

use crate::common::{
    client::Client,
    house::House,
    plan::{Front, Plan},
    raw::{Message, Raw, RawServer, string},
    watching::within,
};

const ECHO: u16 = 0;
const TOP_BIT: u16 = 0x8000;

/// A victim with its user id, and a client that sends forged messages.
struct Scene {
    house: House,
    victim: Client,
    victims_id: String,
    forger: Raw,
}

impl Scene {
    async fn by(plan: Plan) -> Self {
        let house = House::start(plan).await;
        let victim = house.client(Front::Socket).await;
        Self {
            victims_id: victim.who().await,
            victim,
            forger: house.raw().await,
            house,
        }
    }

    async fn echo(&mut self, sequence: u32, text: &str, extra: &[(&str, &str)]) -> String {
        let call = Message {
            call_id: TOP_BIT | 5,
            ..Message::call(sequence, ECHO, string(text)).with_extra(extra)
        };
        let answer = self.forger.call(&call).await;
        assert_eq!(answer.calltype, 0x02, "{answer:?}");
        assert_eq!(answer.errcode, 0, "{answer:?}");
        assert_eq!(
            (answer.sequence, answer.ifidx, answer.opidx),
            (sequence, 2, ECHO)
        );
        assert_eq!(answer.extra("__user_id__"), None, "nobody's business");
        assert_eq!(answer.extra("__mq_return__"), None, "nobody's business");
        String::from_utf8(answer.params[4..].to_vec()).unwrap()
    }

    /// Asserts that the victim has received only the next push.
    async fn victim_is_well(mut self) {
        within(self.victim.server.bidirection()).await.unwrap();
        assert_eq!(self.victim.next_push().await, "server push message!");
        self.victim.works().await;
        drop((self.victim, self.forger));
        self.house.end().await;
    }
}

async fn nobody_is_somebody_else(plan: Plan) {
    let mut scene = Scene::by(plan).await;
    let (victim, mine) = (scene.victims_id.clone(), scene.echo(1, "who", &[]).await);
    assert_ne!(mine, victim);
    let claims = [("__user_id__", &*victim)];
    assert_eq!(scene.echo(2, "who", &claims).await, mine);
    let twice = [
        ("__user_id__", &*victim),
        ("a", "b"),
        ("__user_id__", &victim),
    ];
    assert_eq!(scene.echo(3, "who", &twice).await, mine);
    let seen = scene.echo(4, "extra", &twice).await;
    assert_eq!(seen.matches("__user_id__=").count(), 1, "{seen}");
    assert!(seen.contains("a=b"), "{seen}");
    scene.victim_is_well().await;
}

async fn answers_come_to_who_asked(plan: Plan) {
    let plan = plan.gateways(2);
    let elsewhere = plan.returns(1);
    let mut scene = Scene::by(plan).await;
    let victim = scene.victims_id.clone();
    for queue in [&*elsewhere, "amq.direct", ""] {
        let claims = [("__mq_return__", queue), ("__user_id__", &victim)];
        let seen = scene.echo(1, "extra", &claims).await;
        let by: Vec<_> = seen
            .lines()
            .filter_map(|line| line.strip_prefix("__mq_return__="))
            .collect();
        let returns = scene.house.plan.returns(0);
        assert!(by.is_empty() || by == [&*returns], "{seen}");
    }
    scene.victim_is_well().await;
}

async fn nobody_pushes_but_servers(plan: Plan) {
    let mut scene = Scene::by(plan).await;
    let victim = scene.victims_id.clone();
    for (sequence, call_id) in [(1, 0), (2, TOP_BIT), (3, u16::MAX)] {
        let push = Message {
            ifidx: 3,
            call_id,
            ..Message::call(sequence, 0, string("forged")).with_extra(&[("__user_id__", &victim)])
        };
        let oneway = Message {
            calltype: 0x21,
            ..push.clone()
        };
        scene.forger.send(&oneway.frame()).await;
        let answer = scene.forger.call(&push).await;
        assert_eq!((answer.sequence, answer.errcode), (sequence, 4));
    }
    scene.victim_is_well().await;
}

async fn nobody_answers_anothers_call(plan: Plan) {
    let mut scene = Scene::by(plan).await;
    let victim = scene.victims_id.clone();
    let seen = scene.house.server().seen.clone();
    let waiting = scene.victim.server.echo("gate");
    seen.gate_reached(1).await;
    // For any sequence, a client's or the gateway's.
    for sequence in 0..64 {
        let forged = Message {
            ifidx: 2,
            call_id: TOP_BIT,
            ..Message::returning(sequence, 0, string("forged"))
        };
        let forged = forged.with_extra(&[("__user_id__", &victim)]);
        scene.forger.send(&forged.frame()).await;
    }
    assert_eq!(scene.echo(1, "behind them", &[]).await, "Yah! behind them");
    seen.open_gate();
    assert_eq!(within(waiting).await.unwrap(), "through");
    scene.victim_is_well().await;
}

/// Keys that are meant for the gateway, or set by servers only, are removed.
async fn credentials_go_no_further(plan: Plan) {
    let mut scene = Scene::by(plan).await;
    let extra = [
        ("__token__", "secret"),
        ("__device_id__", "phone"),
        ("__error__", "forged"),
        ("kept", "yes"),
    ];
    let seen = scene.echo(1, "extra", &extra).await;
    assert!(seen.contains("kept=yes"), "{seen}");
    for word in ["secret", "phone", "forged"] {
        assert!(!seen.contains(word), "{seen}");
    }
    scene.victim_is_well().await;
}

/// Two clients use the same sequences, as all clients do.
async fn sequences_are_each_clients_own(plan: Plan) {
    let mut scene = Scene::by(plan).await;
    let mut other = scene.house.raw().await;
    let seen = scene.house.server().seen.clone();
    for sequence in [0, 1, 1, u32::MAX] {
        let gate = Message::call(sequence, ECHO, string("gate"));
        other.send(&gate.frame()).await;
    }
    seen.gate_reached(4).await;
    assert_eq!(scene.echo(1, "mine", &[]).await, "Yah! mine");
    seen.open_gate();
    let mut came = Vec::new();
    for _ in 0..4 {
        let answer = other.message().await;
        assert_eq!(answer.params, string("through"));
        came.push(answer.sequence);
    }
    came.sort_unstable();
    assert_eq!(came, [0, 1, 1, u32::MAX]);
    scene.victim_is_well().await;
}

macro_rules! by_queue_and_socket {
    ($($case:ident)+) => { $(
        mod $case {
            use super::Plan;

            #[tokio::test]
            async fn by_queue() {
                super::$case(Plan::memory()).await;
            }

            #[tokio::test]
            async fn by_rabbitmq() {
                super::$case(Plan::rabbitmq()).await;
            }

            #[tokio::test]
            async fn by_socket() {
                super::$case(Plan::direct()).await;
            }
        }
    )+ };
}

by_queue_and_socket! {
    nobody_is_somebody_else
    answers_come_to_who_asked
    nobody_pushes_but_servers
    nobody_answers_anothers_call
    credentials_go_no_further
    sequences_are_each_clients_own
}

/// Duplicate keys are removed, since servers may differ in which one they use.
#[tokio::test]
async fn what_a_client_claims_is_not_even_sent_on() {
    let listening = RawServer::listen().await;
    let ports = [listening.endpoint().port];
    // One connection to the server.
    let plan = Plan::direct().property("threads", "1");
    let house = House::before(plan, &ports, |it| it).await;
    let mut server = listening.accept().await;
    house.is_ready().await;
    let mut forger = house.raw().await;
    let claims = [
        ("__user_id__", "root"),
        ("kept", "yes"),
        ("__user_id__", "root"),
        ("__mq_return__", "elsewhere"),
        ("__token__", "secret"),
        ("__device_id__", "phone"),
        ("__error__", "forged"),
        ("__deadline__", "99999999999999"),
    ];
    let call = Message::call(1, ECHO, string("hello"));
    forger.send(&call.with_extra(&claims).frame()).await;
    let sent = server.message().await;
    let keys: Vec<_> = sent.extra.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["kept", "__user_id__", "__deadline__"]);
    assert_ne!(sent.extra("__deadline__"), Some("99999999999999"));
    let user = sent.extra("__user_id__").unwrap();
    assert!(user.starts_with("gw0-"), "{user}");
    drop((forger, server));
    house.end().await;
}

/// A server that connects to a client endpoint is treated as a client.
#[tokio::test]
async fn a_client_with_a_servers_proxies_is_a_client() {
    let mut scene = Scene::by(Plan::direct()).await;
    let client = scene.house.client(Front::WebSocket).await;
    let terminal = ITerminalPrx::new(client.server.connection());
    let terminal = terminal.with_extra([("__user_id__", &*scene.victims_id)]);
    within(terminal.on_message_oneway("forged")).await.unwrap();
    let server = ServerPrx::new(client.server.connection());
    let server = server.with_extra([("__user_id__", &*scene.victims_id)]);
    assert_ne!(within(server.echo("who")).await.unwrap(), scene.victims_id);
    assert_eq!(scene.house.drops("no_route"), 1);
    assert_eq!(scene.echo(1, "a", &[]).await, "Yah! a");
    drop(client);
    scene.victim_is_well().await;
}
