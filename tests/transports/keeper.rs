//! A keeper that gives back what it gets: at once, or by way of the caller's own.

use tce_runtime::{Context, Fault, TypedProxy};
use tce_tests::{
    ManyParameters,
    zoo::{Bytes, Family, IntStr, IntTable, Keeper, KeeperPrx, KeeperServant, StrInt},
};
use tokio::sync::mpsc;

use crate::transports::Pair;

/// In a call's extra: what is asked of the keeper it asks of the caller's own.
const BY_CALLER: &str = "by-caller";

struct Echo {
    /// What `many` came with: it has no result.
    seen: mpsc::Sender<ManyParameters>,
}

/// The caller's own keeper, if that is to answer.
fn asked(ctx: &Context) -> Option<KeeperPrx> {
    ctx.extra()
        .get(BY_CALLER)
        .map(|_| KeeperPrx::to_caller(ctx))
}

impl Keeper for Echo {
    async fn roundtrip(&self, fam: Family, ctx: &Context) -> Result<Family, Fault> {
        match asked(ctx) {
            Some(other) => Ok(other.roundtrip(&fam).await?),
            None => Ok(fam),
        }
    }

    async fn table(&self, t: IntTable, ctx: &Context) -> Result<IntTable, Fault> {
        match asked(ctx) {
            Some(other) => Ok(other.table(&t).await?),
            None => Ok(t),
        }
    }

    async fn blob(&self, data: Bytes, ctx: &Context) -> Result<Bytes, Fault> {
        match asked(ctx) {
            Some(other) => Ok(other.blob(&data).await?),
            None => Ok(data),
        }
    }

    async fn counts(&self, c: StrInt, ctx: &Context) -> Result<StrInt, Fault> {
        match asked(ctx) {
            Some(other) => Ok(other.counts(&c).await?),
            None => Ok(c),
        }
    }

    async fn names(&self, c: IntStr, ctx: &Context) -> Result<IntStr, Fault> {
        match asked(ctx) {
            Some(other) => Ok(other.names(&c).await?),
            None => Ok(c),
        }
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
        match asked(ctx) {
            Some(other) => Ok(other.many(b, flag, s, i, l, flt, dbl, &text).await?),
            None => Ok(self.seen.send((b, flag, s, i, l, flt, dbl, text)).await?),
        }
    }

    async fn big(&self, v: i64, ctx: &Context) -> Result<i64, Fault> {
        match asked(ctx) {
            Some(other) => Ok(other.big(v).await?),
            None => Ok(v),
        }
    }

    async fn real(&self, v: f64, ctx: &Context) -> Result<f64, Fault> {
        match asked(ctx) {
            Some(other) => Ok(other.real(v).await?),
            None => Ok(v),
        }
    }

    async fn truth(&self, v: bool, ctx: &Context) -> Result<bool, Fault> {
        match asked(ctx) {
            Some(other) => Ok(other.truth(v).await?),
            None => Ok(v),
        }
    }
}

/// The keepers of both sides.
pub(crate) struct Keepers {
    /// One proxy for each direction.
    pub(crate) both: [KeeperPrx; 2],
    /// What `many` came with, in either.
    pub(crate) seen: mpsc::Receiver<ManyParameters>,
}

impl Keepers {
    pub(crate) fn of(pair: &Pair) -> Self {
        let (sender, seen) = mpsc::channel(1);
        let echo = || {
            KeeperServant::new(Echo {
                seen: sender.clone(),
            })
        };
        pair.server.adapter.add_servant(echo());
        pair.proxy.connection().add_servant(echo());
        let there = KeeperPrx::new(pair.proxy.connection());
        let back = there.with_extra([(BY_CALLER, "")]);
        Self {
            both: [there, back],
            seen,
        }
    }
}
