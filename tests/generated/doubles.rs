//! Code that takes a client, with a proxy and with doubles.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tce_runtime::{
    ErrorCode, Fault, Oneway, Pending, Proxy, RpcError, TypedProxy, testing::TestServer,
};
use tce_tests::test::{BaseServerClient, ServerClient, ServerPrx, ServerServant};

use super::calls::ServerImpl;

/// The code under test.
async fn greeting(server: &dyn ServerClient) -> Result<String, RpcError> {
    server.heartbeat_oneway("greeting").await?;
    let (date, text) = (server.datetime(), server.echo("hello"));
    Ok(format!("{} at {}", text.await?, date.await?))
}

/// Has what the code under test calls, and no more.
#[derive(Default)]
struct Double {
    heartbeats: Mutex<Vec<String>>,
}

impl BaseServerClient for Double {
    fn datetime(&self) -> Pending<String> {
        Pending::ready("noon".to_owned())
    }
}

impl ServerClient for Double {
    fn echo(&self, text: &str) -> Pending<String> {
        let text = text.to_uppercase();
        Pending::from_future(async move {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            Ok(text)
        })
    }

    fn heartbeat_oneway(&self, hello: &str) -> Oneway {
        self.heartbeats.lock().push(hello.to_owned());
        Oneway::ready()
    }
}

#[tokio::test(start_paused = true)]
async fn a_double_takes_the_place_of_a_proxy() {
    let double = Arc::new(Double::default());
    let server: Arc<dyn ServerClient> = double.clone();
    assert_eq!(greeting(&*server).await.unwrap(), "HELLO at noon");
    assert_eq!(*double.heartbeats.lock(), ["greeting"]);
}

#[tokio::test]
async fn an_operation_that_a_double_leaves_out_fails_and_says_so() {
    let error = Double::default().timeout(1).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InterfaceNotFound);
    assert_eq!(error.operation(), Some("test::Server::timeout"));
    assert!(error.advice().contains("fallback_proxy"), "{error:?}");
    assert!(Double::default().timeout_oneway(1).await.is_err());
}

#[tokio::test]
async fn a_double_fails_as_a_servant_and_as_a_connection_do() {
    let fault = Fault::new(ErrorCode::Other(1001), "sold out");
    let error = Pending::<String>::failed(fault).await.unwrap_err();
    assert_eq!(
        (error.code(), error.text()),
        (ErrorCode::Other(1001), "sold out")
    );
    assert_eq!(error.side(), tce_runtime::Side::Remote);
    let lost = RpcError::new(ErrorCode::ConnectionLost, "cut");
    let error = Pending::<()>::failed(lost).returned().await.unwrap_err();
    assert!(error.can_retry());
}

/// A proxy, apart from one operation.
struct Partial(ServerPrx);

impl BaseServerClient for Partial {
    fn fallback_proxy(&self) -> Option<&Proxy> {
        Some(self.0.as_proxy())
    }
}

impl ServerClient for Partial {
    fn echo(&self, _: &str) -> Pending<String> {
        Pending::failed(Fault::new(ErrorCode::RemoteException, "disk full"))
    }
}

#[tokio::test]
async fn a_double_leaves_the_other_operations_to_its_proxy() {
    let (servant, mut received) = ServerImpl::new();
    let server = TestServer::new();
    server.add_servant(ServerServant::new(servant));
    let proxy: ServerPrx = server.connect().await.unwrap();
    assert_eq!(greeting(&proxy).await.unwrap(), "hello at now");
    assert_eq!(received.recv().await.unwrap(), "greeting");
    let error = greeting(&Partial(proxy)).await.unwrap_err();
    assert_eq!(error.text(), "disk full");
    assert_eq!(received.recv().await.unwrap(), "greeting");
}

#[tokio::test]
async fn a_pending_result_is_send_and_sync_whatever_it_is_of() {
    fn is_send_and_sync<T: Send + Sync>(_: &T) {}
    let pending = Pending::ready(std::cell::Cell::new(1));
    is_send_and_sync(&pending);
}
