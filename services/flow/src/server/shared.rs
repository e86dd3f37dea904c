//! What the servants of all listeners share.

use std::path::PathBuf;
use std::sync::Arc;

use tce_runtime::Context;
use tokio::sync::watch;

use crate::access::{Access, Caller, Denied, Need, Trust};
use crate::calendar::Moment;
use crate::idl::flow::Reply;

use super::log::Log;
use super::owner::OwnerHandle;
use super::renderings::Renderings;
use super::statistics::Statistics;
use super::uploads::Uploads;
use super::watchers::Watchers;

/// The extra that names the user of a call.
const USER: &str = "user";
/// The extra that holds a token.
const TOKEN: &str = "__token__";

/// Takler's code of a request that is not permitted.
pub(super) const PERMISSION_DENIED: i32 = 43;

/// What the servants of all listeners share.
pub(crate) struct Shared {
    pub(super) owner: OwnerHandle,
    pub(super) access: Access,
    pub(super) log: Arc<Log>,
    pub(super) watchers: Arc<Watchers>,
    pub(super) statistics: Arc<Statistics>,
    pub(super) uploads: Uploads,
    pub(super) renderings: Renderings,
    pub(super) home: PathBuf,
    pub(super) started_at: Moment,
    /// Becomes true when an operator ends the server.
    pub(super) is_terminated: watch::Sender<bool>,
}

impl Shared {
    /// Forgets what belongs to a connection that has ended.
    pub(super) fn forget(&self, peer: &str) {
        self.uploads.forget(peer);
        self.renderings.forget(peer);
        self.watchers.remove(peer);
    }
}

/// What the servants of one listener share.
#[derive(Clone)]
pub(crate) struct Listener {
    pub(super) shared: Arc<Shared>,
    pub(super) trust: Trust,
}

impl Listener {
    /// The caller, if it may do something at these paths; of the server as a whole if there are
    /// none.
    pub(super) fn admit(
        &self,
        context: &Context,
        need: Need,
        paths: &[&str],
    ) -> Result<Caller, Denied> {
        let caller = self.identify(context)?;
        self.shared.access.check(&caller, need, paths)?;
        Ok(caller)
    }

    /// The caller, whatever it may do.
    pub(super) fn identify(&self, context: &Context) -> Result<Caller, Denied> {
        let extra = context.extra();
        let access = &self.shared.access;
        access.caller(self.trust, extra.get(USER), extra.get(TOKEN))
    }
}

/// The answer to a request that is not permitted.
pub(super) fn denied(denied: &Denied) -> Reply {
    Reply {
        code: PERMISSION_DENIED,
        text: denied.to_string(),
    }
}
