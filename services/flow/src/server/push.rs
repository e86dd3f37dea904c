//! Tells a watcher what has changed.

use std::sync::Arc;
use std::time::Duration;

use tce_runtime::RpcError;

use crate::idl::flow::{FlowWatcherPrx, Row};
use crate::machine::{Change, Machine};

use super::owner::OwnerHandle;
use super::rows::{MAX_ROWS, Page, gone, row, signed};
use super::scope::Scope;
use super::watchers::{News, Watcher};

/// How long changes are gathered before they are told.
const GATHER_TIME: Duration = Duration::from_millis(50);

/// Pushes until the watcher ends or the client does not answer. The next push waits for the answer
/// to the one before, so that what a slow client has not read stays bounded.
pub(super) async fn push(
    watcher: Arc<Watcher>,
    proxy: FlowWatcherPrx,
    owner: OwnerHandle,
    scope: Scope,
) {
    let scope = Arc::new(scope);
    loop {
        watcher.woken().await;
        tokio::time::sleep(GATHER_TIME).await;
        let told = match watcher.take() {
            None => return,
            Some(News::Reset(version)) => proxy.on_reset(signed(version)).await,
            Some(News::Changes(changes, version)) => {
                tell(&changes, version, &proxy, &owner, &scope).await
            }
        };
        if let Err(error) = told {
            tracing::debug!("a watcher is gone: {error}");
            return;
        }
    }
}

async fn tell(
    changes: &[Change],
    version: u64,
    proxy: &FlowWatcherPrx,
    owner: &OwnerHandle,
    scope: &Arc<Scope>,
) -> Result<(), RpcError> {
    let mut rest = changes;
    while !rest.is_empty() {
        let asked: Vec<_> = rest[..rest.len().min(MAX_ROWS)].to_vec();
        let scope = Arc::clone(scope);
        let page = owner.query(move |machine| rows_of(machine, &asked, &scope));
        let Ok((rows, taken)) = page.await else {
            return Ok(());
        };
        let (done, left) = rest.split_at(taken);
        rest = left;
        // All changes up to the last one told are told, since each node comes with its last change.
        let told = match (done.last(), rest.is_empty()) {
            (Some(last), false) => last.version,
            _ => version,
        };
        if !rows.is_empty() {
            proxy.on_change(&rows, signed(told)).await?;
        }
    }
    Ok(())
}

/// The rows of the first changes, and how many changes these are.
fn rows_of(machine: &Machine, changes: &[Change], scope: &Scope) -> (Vec<Row>, usize) {
    let tree = machine.tree();
    let top = scope.top(tree);
    let mut page = Page::default();
    for (at, change) in changes.iter().enumerate() {
        let is_there = tree.get(change.node).is_some();
        let row = if change.is_gone || !is_there {
            gone(change.node, change.version)
        } else if scope.holds(tree, top, change.node) {
            row(machine, change.node)
        } else {
            continue;
        };
        if !page.add(row) {
            return (page.rows, at);
        }
    }
    (page.rows, changes.len())
}
