//! What a gateway says about the interfaces of the servers behind it.

use tce_runtime::{ErrorCode, Proxy, Returned, RpcError, TypedProxy, config::Options};

use crate::{
    common::{
        client::Client,
        house::House,
        plan::{Front, Plan},
        raw::{Message, RawServer},
        watching::within,
    },
    users::timed,
};

async fn describe(client: &Client) -> Result<Returned<Vec<String>>, RpcError> {
    let proxy = Proxy::new(client.server.connection());
    within(proxy.describe().returned()).await
}

/// The interfaces with a route for clients, and that of the server described.
fn describes_server(described: &Returned<Vec<String>>) {
    let interfaces = described.extra.get("__interfaces__");
    assert_eq!(interfaces, Some("0:test.BaseServer,2:test.Server"));
    let [text] = described.value.as_slice() else {
        panic!("one text: {:?}", described.value);
    };
    assert!(text.contains("[index=2] interface Server extends BaseServer"));
}

#[tokio::test]
async fn the_interfaces_of_servers_are_described_if_the_gateway_is_configured_so() {
    for plan in [Plan::direct(), Plan::memory(), Plan::rabbitmq()] {
        let house = House::start(plan.clone()).await;
        let client = house.client(Front::Socket).await;
        let error = describe(&client).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::ConnectReject);
        assert!(error.text().contains("the property `describe`"), "{error}");
        client.works().await;
        drop(client);
        house.end().await;

        let house = House::start(plan.property("describe", "all")).await;
        for front in [Front::Socket, Front::Wss] {
            let client = house.client(front).await;
            describes_server(&describe(&client).await.unwrap());
            client.works().await;
        }
        house.end().await;
    }
}

#[tokio::test]
async fn only_users_with_the_role_may_ask() {
    let plan = Plan::direct().property("describe", "developer,admin");
    let house = House::start_with(plan, |it| it.authenticator(timed)).await;
    let with_token = async |token: &str| {
        let options = Options {
            token: Some(token.to_owned()),
            ..Options::default()
        };
        house.client_with(Front::Socket, options).await
    };
    describes_server(&describe(&with_token("anna 100 admin").await).await.unwrap());
    for token in ["ben 100", "carl 100 develop"] {
        let client = with_token(token).await;
        let error = describe(&client).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::ConnectReject);
        let text = "calls to `describe` need one of the roles `developer`, `admin`";
        assert!(error.text().contains(text), "{error}");
        client.works().await;
    }
    house.end().await;
}

#[tokio::test]
async fn each_client_may_ask_at_a_rate() {
    let house = House::start(Plan::direct().property("describe", "all")).await;
    let clients = [
        house.client(Front::Socket).await,
        house.client(Front::WebSocket).await,
    ];
    let mut refused = 0;
    // They have one address.
    for client in clients.iter().cycle().take(60) {
        if let Err(error) = describe(client).await {
            assert_eq!(error.code(), ErrorCode::ConnectReject);
            assert!(error.text().contains("too many calls to `describe`"));
            refused += 1;
        }
    }
    assert!((20..=40).contains(&refused), "{refused}");
    clients[0].works().await;
    house.end().await;
}

/// Servers of TCE's own have no such interface, or never answer.
#[tokio::test]
async fn a_server_that_does_not_describe_itself_is_left_out() {
    for is_silent in [false, true] {
        let server = RawServer::listen().await;
        let plan = Plan::direct()
            .property("threads", "1")
            .property("describe", "all");
        let house = House::before(plan, &[server.endpoint().port], |it| it).await;
        let mut accepted = server.accept().await;
        let client = house.client(Front::Socket).await;
        let answering = async {
            let mut asked = accepted.message().await;
            // The gateway logs in to servers of this project.
            while asked.ifidx == 65_535 && asked.opidx != 1 {
                asked = accepted.message().await;
            }
            assert_eq!((asked.ifidx, asked.opidx), (65_535, 1));
            if !is_silent {
                let unknown = ErrorCode::InterfaceNotFound.to_wire();
                let answer = Message::returning(asked.sequence, unknown, Vec::new());
                accepted.send(&answer.frame()).await;
            }
        };
        let (described, ()) = tokio::join!(describe(&client), answering);
        // The second one is answered at once: the server is not asked again.
        for described in [described, describe(&client).await] {
            let described = described.unwrap();
            assert!(described.value.is_empty());
            let interfaces = described.extra.get("__interfaces__");
            assert_eq!(interfaces, Some("0:test.BaseServer,2:test.Server"));
        }
    }
}
