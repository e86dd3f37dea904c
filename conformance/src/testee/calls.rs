//! Calls by the generated proxies, from the names and values of the protocol.

use std::{future::Future, pin::Pin, time::Duration};

use serde_json::{Value, json};
use tce_runtime::{
    Exception as _, Oneway, Pending, Proxy, RpcError, Side, TypedProxy, wire::Unmarshal,
};

use super::{
    idl::{
        conformance::{Gone, NotFound, ProbePrx},
        later,
        test::ServerPrx,
        zoo::KeeperPrx,
    },
    neutral::Neutral,
};
use crate::protocol::{CallError, Outcome};

/// A call that was sent.
pub(super) type Sent = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// How the calls of a command are made.
pub(super) struct CallOptions {
    pub(super) timeout: Option<Duration>,
    pub(super) extra: Vec<(String, String)>,
    pub(super) is_oneway: bool,
}

impl CallOptions {
    fn apply<P: TypedProxy>(&self, proxy: &Proxy) -> P {
        let typed = P::from_proxy(proxy.with_extra(self.extra.iter().map(|(k, v)| (k, v))));
        match self.timeout {
            Some(timeout) => typed.with_timeout(timeout),
            None => typed,
        }
    }
}

/// The parameters of a call, taken one after another.
struct Args<'a>(std::slice::Iter<'a, Value>);

impl Args<'_> {
    fn next<T: Neutral>(&mut self) -> Result<T, String> {
        T::read(self.0.next().ok_or("a parameter is missing")?)
    }
}

/// Sends a call by the proxy of its interface.
pub(super) fn send(
    proxy: &Proxy,
    operation: &str,
    args: &[Value],
    options: &CallOptions,
) -> Result<Sent, String> {
    let mut args = Args(args.iter());
    if operation == "ping" {
        return Ok(twoway(proxy.ping()));
    }
    let (interface, name) = operation.split_once('.').ok_or("no interface")?;
    let sent = match interface {
        "Probe" => probe(&options.apply(proxy), name, &mut args, options.is_oneway)?,
        "Keeper" => keeper(&options.apply(proxy), name, &mut args, options.is_oneway)?,
        "Server" => server(&options.apply(proxy), name, &mut args, options.is_oneway)?,
        "Newer" => newer(&options.apply(proxy), name, &mut args)?,
        "Unserved" => Some(twoway(options.apply::<later::UnservedPrx>(proxy).call())),
        _ => None,
    };
    sent.ok_or_else(|| format!("there is no operation {operation}"))
}

fn probe(
    prx: &ProbePrx,
    name: &str,
    args: &mut Args<'_>,
    is_oneway: bool,
) -> Result<Option<Sent>, String> {
    Ok(Some(match name {
        "echo" => twoway(prx.echo(&args.next::<String>()?)),
        "note" if is_oneway => oneway(prx.note_oneway(args.next()?)),
        "note" => twoway(prx.note(args.next()?)),
        "fail" if is_oneway => oneway(prx.fail_oneway(args.next()?, &args.next::<String>()?)),
        "fail" => twoway(prx.fail(args.next()?, &args.next::<String>()?)),
        "bug" if is_oneway => oneway(prx.bug_oneway(&args.next::<String>()?)),
        "bug" => twoway(prx.bug(&args.next::<String>()?)),
        "late" => twoway(prx.late(args.next()?, &args.next::<String>()?)),
        "callBack" => twoway(prx.call_back(&args.next::<String>()?)),
        "push" if is_oneway => oneway(prx.push_oneway(args.next()?)),
        "push" => twoway(prx.push(args.next()?)),
        "descend" => twoway(prx.descend(args.next()?)),
        "grow" => twoway(prx.grow(args.next()?)),
        "tree" => twoway(prx.tree(&args.next()?)),
        "large" => twoway(prx.large(args.next()?)),
        "paint" => twoway(prx.paint(&args.next()?)),
        "shade" => twoway(prx.shade(args.next()?)),
        "lose" => twoway(prx.lose(args.next()?, &args.next::<String>()?, &args.next()?)),
        "hide" => twoway(prx.hide(&args.next::<String>()?)),
        _ => return Ok(None),
    }))
}

fn keeper(
    prx: &KeeperPrx,
    name: &str,
    args: &mut Args<'_>,
    is_oneway: bool,
) -> Result<Option<Sent>, String> {
    Ok(Some(match name {
        "roundtrip" => twoway(prx.roundtrip(&args.next()?)),
        "table" => twoway(prx.table(&args.next::<Vec<_>>()?)),
        "blob" => twoway(prx.blob(&args.next::<Vec<_>>()?)),
        "counts" => twoway(prx.counts(&args.next()?)),
        "names" => twoway(prx.names(&args.next()?)),
        "many" => {
            let (b, flag, s, i) = (args.next()?, args.next()?, args.next()?, args.next()?);
            let (l, flt, dbl) = (args.next()?, args.next()?, args.next()?);
            let text: String = args.next()?;
            if is_oneway {
                oneway(prx.many_oneway(b, flag, s, i, l, flt, dbl, &text))
            } else {
                twoway(prx.many(b, flag, s, i, l, flt, dbl, &text))
            }
        }
        "big" => twoway(prx.big(args.next()?)),
        "real" => twoway(prx.real(args.next()?)),
        "truth" => twoway(prx.truth(args.next()?)),
        _ => return Ok(None),
    }))
}

fn server(
    prx: &ServerPrx,
    name: &str,
    args: &mut Args<'_>,
    is_oneway: bool,
) -> Result<Option<Sent>, String> {
    Ok(Some(match name {
        "echo" => twoway(prx.echo(&args.next::<String>()?)),
        "timeout" => twoway(prx.timeout(args.next()?)),
        "heartbeat" if is_oneway => oneway(prx.heartbeat_oneway(&args.next::<String>()?)),
        "heartbeat" => twoway(prx.heartbeat(&args.next::<String>()?)),
        _ => return Ok(None),
    }))
}

fn newer(prx: &later::NewerPrx, name: &str, args: &mut Args<'_>) -> Result<Option<Sent>, String> {
    Ok(Some(match name {
        "echo" => twoway(prx.echo(args.next()?)),
        "late" => twoway(prx.late(args.next()?, &args.next::<String>()?)),
        "added" => twoway(prx.added()),
        "note" => twoway(prx.note(args.next()?, &args.next::<String>()?)),
        _ => return Ok(None),
    }))
}

fn twoway<T: Neutral + Unmarshal + Send + 'static>(pending: Pending<T>) -> Sent {
    Box::pin(async move {
        match pending.returned().await {
            Ok(returned) => Outcome::Result {
                value: returned.value.write(),
                extra: own_pairs(returned.extra.iter()),
            },
            Err(error) => Outcome::Error(told(&error)),
        }
    })
}

fn oneway(sent: Oneway) -> Sent {
    Box::pin(async move {
        match sent.await {
            Ok(()) => Outcome::Result {
                value: Value::Null,
                extra: Vec::new(),
            },
            Err(error) => Outcome::Error(told(&error)),
        }
    })
}

/// The pairs of an extra that the wire format does not reserve.
pub(super) fn own_pairs<'a>(
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
) -> Vec<(String, String)> {
    pairs
        .filter(|(key, _)| !key.starts_with("__"))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn told(error: &RpcError) -> CallError {
    CallError {
        code: error.code().to_wire(),
        side: match error.side() {
            Side::Local => "local",
            Side::Remote => "remote",
        }
        .to_owned(),
        text: error.text().to_owned(),
        operation: error.operation().unwrap_or_default().to_owned(),
        can_retry: error.can_retry(),
        exception: exception(error),
    }
}

fn exception(error: &RpcError) -> Value {
    if let Some(NotFound { code, key, nearest }) = error.exception() {
        let members = json!({ "code": code, "key": key, "nearest": nearest.write() });
        return json!({ "name": NotFound::NAME, "members": members });
    }
    match error.exception::<Gone>() {
        Some(Gone {}) => json!({ "name": Gone::NAME, "members": {} }),
        None => Value::Null,
    }
}
