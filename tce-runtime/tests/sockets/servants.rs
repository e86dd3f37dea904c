//! Servants and proxies: several on one adapter, several on one connection.

use std::sync::Arc;

use tce_runtime::{ErrorCode, IncomingCall, Proxy, Servant, config::Options, wire::Operation};

use crate::common::{
    probe::{ECHO, serve, works},
    watching::{soon, within},
};

static DERIVED: Operation = Operation::new("t::Derived::name", 40, 0);
static BASE: Operation = Operation::new("t::Base::name", 41, 0);

/// Answers calls of each of its interfaces with its name and the interface's index.
struct Named(Arc<String>, &'static [u16]);

impl Servant for Named {
    fn interfaces(&self) -> &[u16] {
        self.1
    }

    fn dispatch(&self, call: IncomingCall<'_>) {
        let ifidx = call.ifidx();
        call.run(&self.0, move |name, (), ctx| async move {
            (ctx, Ok(format!("{name} {ifidx}")))
        });
    }
}

async fn name(proxy: &Proxy, operation: &'static Operation) -> String {
    within(proxy.call::<_, String>(operation, ()))
        .await
        .unwrap()
}

#[tokio::test]
async fn each_servant_of_an_adapter_serves_its_own_interfaces() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    let error = soon(proxy.call::<_, String>(&DERIVED, ()))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::InterfaceNotFound);

    server
        .adapter
        .add_servant(Named(Arc::new("both".to_owned()), &[40, 41]));
    assert_eq!(name(&proxy, &DERIVED).await, "both 40");
    assert_eq!(name(&proxy, &BASE).await, "both 41");
    works(&proxy).await;

    server
        .adapter
        .add_servant(Named(Arc::new("other".to_owned()), &[41]));
    assert_eq!(name(&proxy, &DERIVED).await, "both 40");
    assert_eq!(name(&proxy, &BASE).await, "other 41");
}

#[tokio::test]
async fn proxies_of_one_connection_share_it() {
    let server = serve(Options::default()).await;
    server
        .adapter
        .add_servant(Named(Arc::new("both".to_owned()), &[40, 41]));
    let first = server.proxy().await;
    let second = Proxy::new(first.connection());
    works(&first).await;
    assert_eq!(name(&second, &DERIVED).await, "both 40");
    assert_eq!(server.adapter.connections(), 1);
    drop(first);
    works(&second).await;
}

#[tokio::test]
async fn a_connection_ends_with_its_last_proxy() {
    let server = serve(Options::default()).await;
    let first = server.proxy().await;
    let second = first.with_extra([("a", "b")]);
    let pending = first.call::<_, String>(&ECHO, ("last",));
    drop((first, second));
    assert_eq!(within(pending).await.unwrap(), "last");
    crate::common::watching::eventually("the connection has ended", || {
        server.adapter.connections() == 0
    })
    .await;
}

#[tokio::test]
async fn every_adapter_answers_ping() {
    let server = serve(Options::default()).await;
    soon(server.proxy().await.ping()).await.unwrap();
}
