//! A member of a topic announces itself to the others.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::call::oneway;
use crate::{
    connection::{BYE, CallOptions, Connection, HELLO},
    roster::{ANNOUNCE_PERIOD, FORGET_TIME, Roster},
    shutdown::{ShutdownPhase, reached},
    wire::Operation,
};

/// How soon after an announcement the next one may follow, so that many members that come
/// at once cause few.
const NEWCOMER_PAUSE: Duration = Duration::from_millis(100);

/// Announces `member` by a connection to its topic: every 2 s and when another member
/// comes; and that it leaves, when the shutdown of its adapter or its communicator drains.
pub(crate) async fn announce(
    member: Arc<Roster>,
    connection: Connection,
    [mut adapter, mut communicator]: [watch::Receiver<ShutdownPhase>; 2],
) {
    // The publisher of the connection ends after this task.
    let _in_flight = connection.inner.served.begin();
    let announcing = async {
        loop {
            let next = Instant::now() + ANNOUNCE_PERIOD;
            say(&HELLO, &member, &connection).await;
            sleep(NEWCOMER_PAUSE).await;
            tokio::select! {
                () = sleep_until(next) => {}
                () = member.newcomer() => {}
            }
        }
    };
    tokio::select! {
        () = announcing => {}
        () = reached(&mut adapter, ShutdownPhase::Draining) => {}
        () = reached(&mut communicator, ShutdownPhase::Draining) => {}
    }
    say(&BYE, &member, &connection).await;
}

async fn say(operation: &Operation, member: &Roster, connection: &Connection) {
    let options = CallOptions {
        timeout: Some(ANNOUNCE_PERIOD),
        // Later it would announce a member that may be gone.
        linger: Some(FORGET_TIME),
        ..CallOptions::default()
    };
    if let Err(error) = oneway(connection, operation, &options, (member.id(),)).await {
        tracing::debug!(
            peer = connection.peer(),
            "a member is not announced: {error}"
        );
    }
}
