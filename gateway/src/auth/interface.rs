//! A servant says who the user is.

use std::time::Duration;

use tce_runtime::{Connection, ErrorCode, Pending, Proxy, RpcError, Side, wire::Operation};

use super::{Authenticator, Login, Refusal};

/// The interface index of `gateway.IAuthenticator` where services.xml gives it
/// none.
pub const AUTHENTICATOR_INDEX: u16 = 65001;

/// The operation's name and index; `idl/gateway.idl` declares it.
const NAME: &str = "gateway::IAuthenticator::authenticate";
const OPIDX: u16 = 0;

/// Asks a servant of `gateway.IAuthenticator` (`auth="interface"`).
#[derive(Debug)]
pub struct ByInterface {
    proxy: Proxy,
    operation: Operation,
}

impl ByInterface {
    /// Asks on `connection`, by the interface index of services.xml, for `time`.
    #[must_use]
    pub fn new(connection: &Connection, ifidx: u16, time: Duration) -> Self {
        Self {
            // Over a queue the question expires with its time: no servant works
            // for a client that was sent away.
            proxy: Proxy::new(connection).with_timeout(time),
            operation: Operation::new(NAME, ifidx, OPIDX),
        }
    }
}

impl Authenticator for ByInterface {
    async fn authenticate(&self, login: Login) -> Result<String, Refusal> {
        let device_id = login.device_id.unwrap_or_default();
        let asked: Pending<String> = self.proxy.call(&self.operation, (login.token, device_id));
        let user = asked.await.map_err(|error| refusal(&error))?;
        if user.is_empty() {
            return Err(Refusal::new("the token is not accepted"));
        }
        Ok(user)
    }
}

/// A servant that means its words for the client says so by its code; any other
/// error may tell of its insides.
fn refusal(error: &RpcError) -> Refusal {
    match (error.side(), error.code()) {
        (Side::Remote, ErrorCode::ConnectReject) => Refusal::new(error.text().to_owned()),
        _ => Refusal::unavailable().because(error.to_string()),
    }
}
