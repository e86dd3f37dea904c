//! A `Keeper` servant that returns its parameter, directly or from a call of the
//! caller's own `Keeper`.

use tce_runtime::{Context, Fault, TypedProxy};
use tce_tests::{
    ManyParameters,
    zoo::{Bytes, Family, IntStr, IntTable, Keeper, KeeperPrx, KeeperServant, StrInt},
};
use tokio::sync::mpsc;

use crate::transports::Pair;

/// Key in the extra of a call: the servant calls the caller's own `Keeper`.
const CALL_BACK: &str = "call-back";

struct Echo {
    /// The parameters of calls of `many`, which has no result.
    received: mpsc::Sender<ManyParameters>,
}

/// The caller's own `Keeper`, if the call asks to use it.
fn callers_keeper(ctx: &Context) -> Option<KeeperPrx> {
    ctx.extra()
        .get(CALL_BACK)
        .map(|_| KeeperPrx::to_caller(ctx))
}

impl Keeper for Echo {
    async fn roundtrip(&self, fam: Family, ctx: &Context) -> Result<Family, Fault> {
        match callers_keeper(ctx) {
            Some(other) => Ok(other.roundtrip(&fam).await?),
            None => Ok(fam),
        }
    }

    async fn table(&self, t: IntTable, ctx: &Context) -> Result<IntTable, Fault> {
        match callers_keeper(ctx) {
            Some(other) => Ok(other.table(&t).await?),
            None => Ok(t),
        }
    }

    async fn blob(&self, data: Bytes, ctx: &Context) -> Result<Bytes, Fault> {
        match callers_keeper(ctx) {
            Some(other) => Ok(other.blob(&data).await?),
            None => Ok(data),
        }
    }

    async fn counts(&self, c: StrInt, ctx: &Context) -> Result<StrInt, Fault> {
        match callers_keeper(ctx) {
            Some(other) => Ok(other.counts(&c).await?),
            None => Ok(c),
        }
    }

    async fn names(&self, c: IntStr, ctx: &Context) -> Result<IntStr, Fault> {
        match callers_keeper(ctx) {
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
        match callers_keeper(ctx) {
            Some(other) => Ok(other.many(b, flag, s, i, l, flt, dbl, &text).await?),
            None => Ok(self
                .received
                .send((b, flag, s, i, l, flt, dbl, text))
                .await?),
        }
    }

    async fn big(&self, v: i64, ctx: &Context) -> Result<i64, Fault> {
        match callers_keeper(ctx) {
            Some(other) => Ok(other.big(v).await?),
            None => Ok(v),
        }
    }

    async fn real(&self, v: f64, ctx: &Context) -> Result<f64, Fault> {
        match callers_keeper(ctx) {
            Some(other) => Ok(other.real(v).await?),
            None => Ok(v),
        }
    }

    async fn truth(&self, v: bool, ctx: &Context) -> Result<bool, Fault> {
        match callers_keeper(ctx) {
            Some(other) => Ok(other.truth(v).await?),
            None => Ok(v),
        }
    }
}

/// A `Keeper` on each side of a connection.
pub(crate) struct Keepers {
    /// One proxy for each direction.
    pub(crate) both: [KeeperPrx; 2],
    /// The parameters of calls of `many`, on either side.
    pub(crate) received: mpsc::Receiver<ManyParameters>,
}

impl Keepers {
    pub(crate) fn of(pair: &Pair) -> Self {
        let (sender, received) = mpsc::channel(1);
        let echo = || {
            KeeperServant::new(Echo {
                received: sender.clone(),
            })
        };
        pair.server.adapter.add_servant(echo());
        pair.proxy.connection().add_servant(echo());
        let direct = KeeperPrx::new(pair.proxy.connection());
        let by_caller = direct.with_extra([(CALL_BACK, "")]);
        Self {
            both: [direct, by_caller],
            received,
        }
    }
}
