//! The servants, which record each call that they serve.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use tce_runtime::{Context, ErrorCode, Fault, RpcError, TypedProxy};

use super::{
    calls::own_pairs,
    idl::{
        conformance::{Gone, Hidden, NotFound, Painted, Probe, ProbePrx, Shade, Tree},
        test::{BaseServer, Server},
        zoo::{Bytes, Family, IntStr, IntTable, Keeper, KeeperPrx, StrInt},
    },
    neutral::Neutral,
};
use crate::protocol::Received;

/// In the extra of a call of `Keeper`: the servant returns what the caller's own
/// `Keeper` returns.
const CALL_BACK: &str = "call-back";

/// Serves every interface of the conformance suite.
#[derive(Debug, Clone, Default)]
pub(super) struct Servants(Arc<Mutex<Vec<Received>>>);

macro_rules! args {
    ($($arg:expr),*) => { vec![$($arg.write()),*] };
}

impl Servants {
    /// The calls so far.
    pub(super) fn received(&self) -> Vec<Received> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn forget(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    fn record(&self, operation: &str, args: Vec<Value>, ctx: &Context) {
        let received = Received {
            operation: operation.to_owned(),
            args,
            extra: own_pairs(ctx.extra().iter()),
            is_oneway: ctx.is_oneway(),
        };
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(received);
    }
}

/// The caller of a call back learns why that failed.
fn told(error: &RpcError) -> Fault {
    Fault::new(ErrorCode::RemoteException, error.to_string())
}

impl Probe for Servants {
    async fn echo(&self, text: String, ctx: &Context) -> Result<String, Fault> {
        self.record("Probe.echo", args![text], ctx);
        ctx.return_extra("answer", "42");
        ctx.return_extra("again", "43");
        Ok(text)
    }

    async fn note(&self, number: i32, ctx: &Context) -> Result<(), Fault> {
        self.record("Probe.note", args![number], ctx);
        Ok(())
    }

    async fn fail(&self, code: i32, text: String, ctx: &Context) -> Result<(), Fault> {
        self.record("Probe.fail", args![code, text], ctx);
        Err(Fault::new(ErrorCode::from_wire(code.unsigned_abs()), text))
    }

    async fn bug(&self, secret: String, ctx: &Context) -> Result<(), Fault> {
        self.record("Probe.bug", args![secret], ctx);
        Err(Fault::internal(secret))
    }

    async fn late(&self, milliseconds: i32, text: String, ctx: &Context) -> Result<String, Fault> {
        self.record("Probe.late", args![milliseconds, text], ctx);
        tokio::time::sleep(Duration::from_millis(milliseconds.unsigned_abs().into())).await;
        Ok(text)
    }

    async fn call_back(&self, text: String, ctx: &Context) -> Result<String, Fault> {
        self.record("Probe.callBack", args![text], ctx);
        ProbePrx::to_caller(ctx)
            .echo(&text)
            .await
            .map_err(|error| told(&error))
    }

    async fn push(&self, number: i32, ctx: &Context) -> Result<(), Fault> {
        self.record("Probe.push", args![number], ctx);
        let caller = ProbePrx::to_caller(ctx);
        caller
            .note_oneway(number)
            .await
            .map_err(|error| told(&error))
    }

    async fn descend(&self, depth: i32, ctx: &Context) -> Result<i32, Fault> {
        self.record("Probe.descend", args![depth], ctx);
        if depth == 0 {
            return Ok(0);
        }
        let below = ProbePrx::to_caller(ctx).descend(depth - 1).await;
        below.map(|count| count + 1).map_err(|error| told(&error))
    }

    async fn grow(&self, levels: i32, ctx: &Context) -> Result<Tree, Fault> {
        self.record("Probe.grow", args![levels], ctx);
        let tree = Tree::read(&json!({ "levels": levels }));
        tree.map_err(|error| Fault::new(ErrorCode::RemoteException, error))
    }

    async fn tree(&self, value: Tree, ctx: &Context) -> Result<Tree, Fault> {
        self.record("Probe.tree", args![value], ctx);
        Ok(value)
    }

    async fn large(&self, size: i32, ctx: &Context) -> Result<String, Fault> {
        self.record("Probe.large", args![size], ctx);
        Ok("x".repeat(usize::try_from(size)?))
    }

    async fn paint(&self, value: Painted, ctx: &Context) -> Result<Painted, Fault> {
        self.record("Probe.paint", args![value], ctx);
        Ok(value)
    }

    async fn shade(&self, value: Shade, ctx: &Context) -> Result<Shade, Fault> {
        self.record("Probe.shade", args![value], ctx);
        Ok(value)
    }

    async fn lose(
        &self,
        code: i32,
        key: String,
        nearest: Painted,
        ctx: &Context,
    ) -> Result<(), Fault> {
        self.record("Probe.lose", args![code, key, nearest], ctx);
        if key.is_empty() {
            return Err(Gone {}.into());
        }
        Err(NotFound { code, key, nearest }.into())
    }

    async fn hide(&self, why: String, ctx: &Context) -> Result<(), Fault> {
        self.record("Probe.hide", args![why], ctx);
        Err(Hidden { why }.into())
    }
}

/// The caller's own `Keeper`, if the call asks for its result.
fn callers_keeper(ctx: &Context) -> Option<KeeperPrx> {
    ctx.extra()
        .get(CALL_BACK)
        .map(|_| KeeperPrx::to_caller(ctx))
}

/// Operations that return their parameter, or what the caller's own return.
macro_rules! echoes {
    ($($operation:ident($type:ty) calls $argument:expr;)+) => { $(
        async fn $operation(&self, value: $type, ctx: &Context) -> Result<$type, Fault> {
            self.record(concat!("Keeper.", stringify!($operation)), args![value], ctx);
            match callers_keeper(ctx) {
                Some(caller) => caller.$operation($argument(&value)).await.map_err(|error| told(&error)),
                None => Ok(value),
            }
        }
    )+ };
}

impl Keeper for Servants {
    echoes! {
        roundtrip(Family) calls std::convert::identity;
        table(IntTable) calls Vec::as_slice;
        blob(Bytes) calls Vec::as_slice;
        counts(StrInt) calls std::convert::identity;
        names(IntStr) calls std::convert::identity;
        big(i64) calls Clone::clone;
        real(f64) calls Clone::clone;
        truth(bool) calls Clone::clone;
    }

    async fn many(
        &self,
        b: u8,
        flag: bool,
        s: i16,
        i: i32,
        l: i64,
        flt: f32,
        dbl: f64,
        text: String,
        ctx: &Context,
    ) -> Result<(), Fault> {
        self.record("Keeper.many", args![b, flag, s, i, l, flt, dbl, text], ctx);
        match callers_keeper(ctx) {
            Some(caller) => caller
                .many(b, flag, s, i, l, flt, dbl, &text)
                .await
                .map_err(|error| told(&error)),
            None => Ok(()),
        }
    }
}

impl BaseServer for Servants {
    async fn datetime(&self, ctx: &Context) -> Result<String, Fault> {
        self.record("Server.datetime", args![], ctx);
        Ok("today".to_owned())
    }
}

impl Server for Servants {
    async fn echo(&self, text: String, ctx: &Context) -> Result<String, Fault> {
        self.record("Server.echo", args![text], ctx);
        Ok(text)
    }

    async fn timeout(&self, secs: i32, ctx: &Context) -> Result<(), Fault> {
        self.record("Server.timeout", args![secs], ctx);
        Ok(())
    }

    async fn heartbeat(&self, hello: String, ctx: &Context) -> Result<(), Fault> {
        self.record("Server.heartbeat", args![hello], ctx);
        Ok(())
    }

    async fn bidirection(&self, ctx: &Context) -> Result<(), Fault> {
        self.record("Server.bidirection", args![], ctx);
        Ok(())
    }
}
