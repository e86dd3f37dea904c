//! The extra of calls and of RETURNs.

use std::collections::BTreeMap;

use tce_runtime::{ErrorCode, Extra, config::Options};

use crate::common::{
    probe::{CIRCUMSTANCES, FAIL, serve, works},
    raw::{Message, Raw, int, string},
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

/// A caller behind a gateway waits until its timeout for a RETURN that is refused.
#[tokio::test]
async fn a_routed_extra_that_leaves_no_space_is_returned_without_more() {
    let server = serve(Options::default()).await;
    let mut raw = Raw::connect(server.endpoint()).await;
    let long = "x".repeat(60_000);
    let routed = |opidx, params| {
        let call = Message::call(1, opidx, params).with_extra(&[("long", &long)]);
        Message {
            call_id: 0x8000,
            ..call
        }
    };
    let failing = [int(8), string(&"y".repeat(8_000))].concat();
    let answer = raw.call(&routed(FAIL.opidx(), failing)).await;
    assert_eq!(answer.errcode, ErrorCode::RemoteException.to_wire());
    assert_eq!(answer.extra, [("long".to_owned(), long.clone())]);

    let long = "x".repeat(65_520);
    let call = Message::call(2, CIRCUMSTANCES.opidx(), Vec::new()).with_extra(&[("l", &long)]);
    let call = Message {
        call_id: 0x8000,
        ..call
    };
    let answer = raw.call(&call).await;
    assert_eq!(answer.errcode, ErrorCode::RemoteMethodException.to_wire());
    assert_eq!(answer.extra, [("l".to_owned(), long)]);
}
