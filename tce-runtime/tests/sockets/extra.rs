//! The extra of calls and of RETURNs.

use std::collections::BTreeMap;

use tce_runtime::{ErrorCode, Extra, config::Options};

use crate::common::{
    probe::{CIRCUMSTANCES, serve, works},
    watching::{soon, within},
};

#[tokio::test]
async fn a_proxys_extra_is_sent_with_its_own_calls_only() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    let named = proxy.with_extra([("name", "scott.bo"), ("town", "小猫")]);
    let renamed = named.with_extra([("name", "ann")]);
    for (proxy, name, count) in [
        (&proxy, None, 0),
        (&named, Some("scott.bo"), 2),
        (&renamed, Some("ann"), 2),
    ] {
        let call = proxy.call::<_, BTreeMap<String, String>>(&CIRCUMSTANCES, ());
        let seen = within(call).await.unwrap();
        assert_eq!(seen.get("name").map(String::as_str), name);
        assert_eq!(seen.len(), count);
    }
}

#[tokio::test]
async fn extra_set_by_a_servant_returns_with_the_result() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await.with_extra([("name", "scott.bo")]);
    let call = proxy.call::<_, BTreeMap<String, String>>(&CIRCUMSTANCES, ());
    let returned = within(call.returned()).await.unwrap();
    assert_eq!(returned.value.len(), 1);
    assert_eq!(returned.extra, Extra::from_iter([("answer", "42")]));
}

#[tokio::test]
async fn credentials_are_sent_with_the_first_call_only() {
    let server = serve(Options::default()).await;
    let options = Options {
        token: Some("A1001".to_owned()),
        ..Options::default()
    };
    let proxy = server.proxy_with(options).await;
    for token in [Some("A1001"), None] {
        let call = proxy.call::<_, BTreeMap<String, String>>(&CIRCUMSTANCES, ());
        let seen = within(call).await.unwrap();
        assert_eq!(seen.get("__token__").map(String::as_str), token);
    }
}

#[tokio::test]
async fn an_extra_past_the_limits_is_refused_and_the_connection_stays_open() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    let heavy = proxy.with_extra([("name", "x".repeat(65 << 10))]);
    let many = proxy.with_extra((0..1025).map(|number| (number.to_string(), "")));
    for proxy in [heavy, many] {
        let call = proxy.call::<_, BTreeMap<String, String>>(&CIRCUMSTANCES, ());
        assert_eq!(soon(call).await.unwrap_err().code(), ErrorCode::DataDirty);
    }
    works(&proxy).await;
}
