//! `gateway.IAuthenticator` of a server.

use std::{sync::Arc, time::Duration};

use tce_gateway::{
    auth::{AUTHENTICATOR_INDEX, Authenticator, InterfaceAuthenticator, Login, Refusal},
    idl::gateway::{IAuthenticator, IAuthenticatorServant},
};
use tce_runtime::{
    Adapter, Communicator, Context, ErrorCode, Fault, IncomingCall, MemoryBroker, Servant,
    config::MqConfig,
};

use crate::login;

const TIME: Duration = Duration::from_secs(30);
const UNAVAILABLE: &str = "logins are not possible at the moment; try again later";

/// A servant whose answer depends on the token.
struct Oracle;

impl IAuthenticator for Oracle {
    async fn authenticate(
        &self,
        token: String,
        device_id: String,
        _: &Context,
    ) -> Result<String, Fault> {
        match token.as_str() {
            "nobody" => Ok(String::new()),
            "locked" => Err(Fault::new(
                ErrorCode::ConnectReject,
                "the account is locked",
            )),
            "broken" => Err(Fault::internal("SELECT failed at db1.internal")),
            "silent" => std::future::pending().await,
            _ => Ok(format!("{token} on [{device_id}]")),
        }
    }
}

/// The same operation with another interface index.
struct Elsewhere(Arc<()>);

impl Servant for Elsewhere {
    fn interfaces(&self) -> &[u16] {
        &[7]
    }

    fn dispatch(&self, call: IncomingCall<'_>) {
        call.run(&self.0, |_, (token, _): (String, String), ctx| async move {
            (ctx, Ok(format!("seventh {token}")))
        });
    }
}

/// A server with a servant, and an authenticator that calls it.
struct Asking {
    by_interface: InterfaceAuthenticator,
    server: Communicator,
    _adapter: Adapter,
}

async fn asking(servant: impl Servant, ifidx: u16, time: Duration) -> Asking {
    let (server, client) = (Communicator::new(), Communicator::new());
    let adapter = Adapter::listen(&server, "tcp://127.0.0.1:0").await.unwrap();
    adapter.add_servant(servant).start();
    let connection = client
        .connect(&adapter.endpoint().to_string())
        .await
        .unwrap();
    Asking {
        by_interface: InterfaceAuthenticator::new(&connection, ifidx, time),
        server,
        _adapter: adapter,
    }
}

async fn ask_oracle(token: &str) -> Result<String, Refusal> {
    let asking = asking(
        IAuthenticatorServant::new(Oracle),
        AUTHENTICATOR_INDEX,
        TIME,
    )
    .await;
    let admission = asking.by_interface.authenticate(login(token)).await;
    admission.map(|admission| admission.user().to_owned())
}

#[tokio::test]
async fn the_servant_gets_token_and_device() {
    assert_eq!(ask_oracle("A1001").await.unwrap(), "A1001 on []");
    let asking = asking(
        IAuthenticatorServant::new(Oracle),
        AUTHENTICATOR_INDEX,
        TIME,
    )
    .await;
    let login = Login {
        device_id: Some("phone".to_owned()),
        ..login("A1001")
    };
    let user = asking.by_interface.authenticate(login).await.unwrap();
    assert_eq!(user.user(), "A1001 on [phone]");
}

#[tokio::test]
async fn the_index_is_that_of_services_xml() {
    let asking = asking(Elsewhere(Arc::default()), 7, TIME).await;
    let user = asking.by_interface.authenticate(login("A1001")).await;
    assert_eq!(user.unwrap().user(), "seventh A1001");
}

#[tokio::test]
async fn no_user_is_a_refusal() {
    let refusal = ask_oracle("nobody").await.unwrap_err();
    assert_eq!(refusal.text(), "the token is not accepted");
    assert!(!refusal.is_temporary());
}

#[tokio::test]
async fn words_for_the_client_reach_it() {
    let refusal = ask_oracle("locked").await.unwrap_err();
    assert_eq!(refusal.text(), "the account is locked");
    assert!(!refusal.is_temporary());
}

#[tokio::test]
async fn a_servant_s_internal_error_is_told_as_unavailable() {
    let refusal = ask_oracle("broken").await.unwrap_err();
    assert_eq!(refusal.text(), UNAVAILABLE);
    assert!(refusal.is_temporary());
    // The servant's own log has the cause; the gateway's log has no more than this.
    assert!(refusal.to_string().contains("internal error"), "{refusal}");
    assert!(!refusal.to_string().contains("db1.internal"), "{refusal}");
}

#[tokio::test]
async fn a_servant_that_says_nothing_costs_the_time_it_has() {
    let servant = IAuthenticatorServant::new(Oracle);
    let asking = asking(servant, AUTHENTICATOR_INDEX, Duration::from_millis(50)).await;
    let refusal = asking
        .by_interface
        .authenticate(login("silent"))
        .await
        .unwrap_err();
    assert_eq!(refusal.text(), UNAVAILABLE);
    assert!(refusal.to_string().contains("TIMEOUT"), "{refusal}");
}

#[tokio::test]
async fn without_a_server_nobody_can_log_in() {
    let servant = IAuthenticatorServant::new(Oracle);
    let asking = asking(servant, AUTHENTICATOR_INDEX, TIME).await;
    assert!(asking.server.shutdown(TIME).await);
    let refusal = asking
        .by_interface
        .authenticate(login("A1001"))
        .await
        .unwrap_err();
    assert_eq!(refusal.text(), UNAVAILABLE);
    assert!(refusal.is_temporary());
}

#[tokio::test]
async fn without_a_servant_nobody_can_log_in() {
    let asking = asking(Elsewhere(Arc::default()), AUTHENTICATOR_INDEX, TIME).await;
    let refusal = asking
        .by_interface
        .authenticate(login("A1001"))
        .await
        .unwrap_err();
    assert_eq!(refusal.text(), UNAVAILABLE);
    assert!(
        refusal.to_string().contains("INTERFACE_NOTFOUND"),
        "{refusal}"
    );
}

const QUEUES: &str = "
common_defs:
  endpoints:
    - {name: mq_auth, host: localhost, port: 5672, type: qpid, address: 'mq_auth;{create:always,node:{type:queue}}'}
    - {name: mq_back, host: localhost, port: 5672, type: qpid, address: 'mq_back;{create:always,node:{type:queue}}'}
server:
  endpoints:
    - {name: mq_auth, af_mode: AF_READ}
    - {name: mq_back, af_mode: AF_WRITE}
gateway:
  endpoints:
    - {name: mq_auth, af_mode: AF_WRITE}
    - {name: mq_back, af_mode: AF_READ}
  endpoint_pairs:
    - {call: mq_auth, return: mq_back}
";

#[tokio::test]
async fn the_servant_may_be_behind_a_queue() {
    let broker = MemoryBroker::new();
    let (server, gateway) = (Communicator::new(), Communicator::new());
    for (communicator, process) in [(&server, "server"), (&gateway, "gateway")] {
        let config = MqConfig::parse(QUEUES, "config.yml", process).unwrap();
        communicator
            .open_mq_in_memory(config, &broker)
            .await
            .unwrap();
    }
    let adapter = Adapter::listen(&server, "mq:mq_auth").await.unwrap();
    adapter
        .add_servant(IAuthenticatorServant::new(Oracle))
        .start();
    let connection = gateway.connect("mq:mq_auth").await.unwrap();
    let by_interface = InterfaceAuthenticator::new(&connection, AUTHENTICATOR_INDEX, TIME);
    let user = by_interface.authenticate(login("A1001")).await.unwrap();
    assert_eq!(user.user(), "A1001 on []");
}
