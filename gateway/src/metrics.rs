//! What the gateway counts: every name, its unit, and what it says.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

pub(crate) const CONNECTIONS: &str = "tce_gateway_connections";
pub(crate) const CONNECTIONS_TOTAL: &str = "tce_gateway_connections_total";
pub(crate) const ENDED: &str = "tce_gateway_connections_ended_total";
pub(crate) const USERS: &str = "tce_gateway_users";
pub(crate) const LOGINS: &str = "tce_gateway_logins_total";
pub(crate) const LOGIN_SECONDS: &str = "tce_gateway_login_seconds";
pub(crate) const BYTES: &str = "tce_gateway_bytes_total";

pub(crate) const CALLS: &str = "tce_gateway_calls_total";
pub(crate) const CALLS_IN_FLIGHT: &str = "tce_gateway_calls_in_flight";
pub(crate) const CALLS_REFUSED: &str = "tce_gateway_calls_refused_total";
pub(crate) const CALL_SECONDS: &str = "tce_gateway_call_seconds";
pub(crate) const RETURNS: &str = "tce_gateway_returns_total";
pub(crate) const PUSHES: &str = "tce_gateway_pushes_total";
pub(crate) const DROPPED: &str = "tce_gateway_messages_dropped_total";

pub(crate) const BACKEND_UP: &str = "tce_gateway_backend_up";
pub(crate) const BACKEND_QUEUED: &str = "tce_gateway_backend_queued";

/// Tells the recorder that is installed what the names mean.
pub(crate) fn describe() {
    describe_clients();
    describe_messages();
    describe_backends();
    describe_runtime();
}

fn describe_clients() {
    let count = Unit::Count;
    describe_gauge!(CONNECTIONS, count, "Connections of clients that are open");
    describe_counter!(
        CONNECTIONS_TOTAL,
        count,
        "Connections of clients that were accepted, by endpoint"
    );
    describe_counter!(
        ENDED,
        count,
        "Connections that the gateway ended, by reason"
    );
    describe_gauge!(USERS, count, "Users who are logged in");
    describe_counter!(
        LOGINS,
        count,
        "Logins, by result: admitted, refused, unavailable (nobody could decide)"
    );
    describe_histogram!(
        LOGIN_SECONDS,
        Unit::Seconds,
        "How long it took to decide on a login"
    );
    describe_counter!(
        BYTES,
        Unit::Bytes,
        "Bytes of messages from (in) and to (out) clients, by direction"
    );
}

fn describe_messages() {
    let count = Unit::Count;
    describe_counter!(
        CALLS,
        count,
        "Calls of clients that have a route, by interface and endpoint"
    );
    describe_gauge!(
        CALLS_IN_FLIGHT,
        count,
        "Calls of clients that wait for their RETURN"
    );
    describe_counter!(
        CALLS_REFUSED,
        count,
        "Calls that the gateway did not pass on, by code and reason"
    );
    describe_histogram!(
        CALL_SECONDS,
        Unit::Seconds,
        "From the arrival of a call to the arrival of its RETURN, by interface"
    );
    describe_counter!(
        RETURNS,
        count,
        "What became of calls that were passed on, by interface and result"
    );
    describe_counter!(
        PUSHES,
        count,
        "Calls of servers that were passed to a client"
    );
    describe_counter!(DROPPED, count, "Messages that went nowhere, by reason");
}

fn describe_backends() {
    describe_gauge!(
        BACKEND_UP,
        Unit::Count,
        "Whether the broker or the servers of an endpoint can be reached: 1 or 0, by endpoint"
    );
    describe_gauge!(
        BACKEND_QUEUED,
        Unit::Count,
        "Messages that wait to leave for a backend, by endpoint"
    );
}

/// What the runtime counts.
fn describe_runtime() {
    let count = Unit::Count;
    describe_counter!(
        "tce_messages_dropped_total",
        count,
        "Messages that the runtime took and dropped, by reason"
    );
    describe_counter!(
        "tce_oneway_failed_total",
        count,
        "Oneway calls whose servant failed, by code"
    );
    describe_counter!(
        "tce_connections_failed_total",
        count,
        "Connections that failed, by reason"
    );
}
