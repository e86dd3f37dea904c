//! What a program adds to a gateway: servants and an authenticator.

use std::time::Duration;

use tce_gateway::idl::gateway::{IAuthenticator, IAuthenticatorServant};
use tce_runtime::{Adapter, Communicator, Context, ErrorCode, Fault, TypedProxy};
use tce_tests::test::{
    ITerminalGatewayServer, ITerminalGatewayServerPrx, ITerminalGatewayServerServant,
};
use tokio::sync::mpsc;

use crate::common::{
    house::{House, open_queues},
    plan::{By, FRONTS, Plan},
    raw::{Message, string},
    watching::within,
};

/// The servant of the example's gateway; reports the caller.
struct Pinged(mpsc::Sender<Option<String>>);

impl ITerminalGatewayServer for Pinged {
    async fn ping(&self, ctx: &Context) -> Result<(), Fault> {
        Ok(self.0.send(ctx.user_id().map(str::to_owned)).await?)
    }
}

#[tokio::test]
async fn a_gateway_s_own_servant_answers_clients() {
    for plan in [Plan::direct(), Plan::memory()] {
        let (sender, mut pinged) = mpsc::channel(1);
        let house = House::start_with(plan, |gateway| {
            gateway.servant(ITerminalGatewayServerServant::new(Pinged(sender.clone())))
        })
        .await;
        for front in FRONTS {
            let client = house.client(front).await;
            let me = client.who().await;
            let gateway = ITerminalGatewayServerPrx::new(client.server.connection());
            for claimed in ["", "root"] {
                let gateway = gateway.with_extra([("__user_id__", claimed)]);
                within(gateway.ping()).await.unwrap();
                assert_eq!(within(pinged.recv()).await.unwrap(), Some(me.clone()));
            }
            client.works().await;
        }
        house.end().await;
    }
}

#[tokio::test]
async fn a_gateway_s_own_servant_is_for_users_only() {
    let plan = Plan::direct()
        .property("userid_check", "true")
        .property("auth", "token");
    let (sender, mut pinged) = mpsc::channel(1);
    let house = House::start_with(plan, |gateway| {
        gateway.servant(ITerminalGatewayServerServant::new(Pinged(sender.clone())))
    })
    .await;
    let mut stranger = house.raw().await;
    let ping = Message {
        ifidx: 1,
        ..Message::call(1, 0, Vec::new())
    };
    assert_eq!(
        stranger.call(&ping).await.errcode,
        ErrorCode::ConnectReject.to_wire()
    );
    stranger.closed().await;
    let anna = house.user("anna").await;
    let gateway = ITerminalGatewayServerPrx::new(anna.server.connection());
    within(gateway.ping()).await.unwrap();
    assert_eq!(
        within(pinged.recv()).await.unwrap().as_deref(),
        Some("anna")
    );
    drop(anna);
    house.end().await;
}

/// An authenticator that accepts tickets.
struct Tickets;

impl IAuthenticator for Tickets {
    async fn authenticate(
        &self,
        token: String,
        device_id: String,
        _: &Context,
    ) -> Result<String, Fault> {
        let user = token.strip_prefix("ticket of ").unwrap_or_default();
        Ok(match user {
            "" => String::new(),
            user => format!("{user} by {device_id}"),
        })
    }
}

async fn a_servant_knows_the_users(plan: Plan) {
    let communicator = Communicator::new();
    open_queues(&plan, "logins", &communicator).await;
    let logins = plan.queue("logins");
    let endpoint = match &plan.by {
        By::Direct => "tcp://127.0.0.1:0".to_owned(),
        By::Broker { .. } | By::Memory(_) => format!("mq:{logins}"),
    };
    let adapter = Adapter::listen(&communicator, &endpoint).await.unwrap();
    adapter
        .add_servant(IAuthenticatorServant::new(Tickets))
        .start();
    let plan = match &plan.by {
        By::Direct => plan.socket(&logins, adapter.endpoint().port),
        By::Broker { .. } | By::Memory(_) => plan,
    };
    let plan = plan
        .property("userid_check", "true")
        .property("auth", "interface")
        .property("auth_endpoint", &logins);
    let house = House::start(plan).await;
    let mut anna = house.raw().await;
    let hello = Message::call(1, 0, string("who"));
    let extra = [("__token__", "ticket of anna"), ("__device_id__", "phone")];
    let answer = anna.call(&hello.clone().with_extra(&extra)).await;
    assert_eq!(answer.params, string("anna by phone"));
    let mut stranger = house.raw().await;
    let answer = stranger
        .call(&hello.with_extra(&[("__token__", "please")]))
        .await;
    assert_eq!(answer.errcode, ErrorCode::ConnectReject.to_wire());
    stranger.closed().await;
    drop(anna);
    house.end().await;
    assert!(communicator.shutdown(Duration::from_secs(10)).await);
}

#[tokio::test]
async fn a_servant_knows_the_users_by_socket() {
    a_servant_knows_the_users(Plan::direct()).await;
}

#[tokio::test]
async fn a_servant_knows_the_users_by_queue() {
    a_servant_knows_the_users(Plan::memory()).await;
}

#[tokio::test]
async fn a_servant_knows_the_users_by_rabbitmq() {
    a_servant_knows_the_users(Plan::rabbitmq()).await;
}
