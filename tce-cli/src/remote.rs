//! The interfaces of a server or gateway, as it describes them itself.

use std::time::Duration;

use tce_gateway::terminal::escape_control;
use tce_idl::{describe::Description, model::Model};
use tce_runtime::{
    ErrorCode, Extra, Proxy, RpcError,
    wire::{reserved, unescape_ascii},
};

/// How long a server may take to describe its interfaces. Original TCE servers in Python never answer
/// calls of an interface that they do not have.
const DESCRIBE_TIME: Duration = Duration::from_secs(3);

/// The interfaces of a server.
pub(crate) struct ServerInterfaces {
    /// That of the IDL files, or one for each servant; what these have in common is in several.
    pub(crate) models: Vec<Model>,
    /// Those that a gateway forwards calls to; `None` from a server, and from files.
    routed: Option<Vec<RoutedInterface>>,
}

/// An interface with a route at a gateway.
struct RoutedInterface {
    index: u16,
    name: String,
}

/// Why a server does not say which interfaces it has.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoteError {
    /// It never does.
    #[error("{0}")]
    Unsupported(String),
    /// It failed.
    #[error("{0}")]
    Failed(String),
    #[error("{0}")]
    Rpc(#[from] RpcError),
}

impl ServerInterfaces {
    /// Those of IDL files.
    pub(crate) fn of_files(model: Model) -> Self {
        Self {
            models: vec![model],
            routed: None,
        }
    }

    /// Asks a server, for `limit` at most.
    pub(crate) async fn request(proxy: &Proxy, limit: Duration) -> Result<Self, RemoteError> {
        let limit = limit.min(DESCRIBE_TIME);
        let described = proxy.with_timeout(limit).describe().returned().await;
        let described = described.map_err(|error| match error.code() {
            ErrorCode::Timeout => RemoteError::Failed(format!(
                "the server does not say within {} which interfaces it has: it may be an older TCE \
                 program, which does not answer this; name its IDL file with --idl",
                humantime::format_duration(limit)
            )),
            ErrorCode::InterfaceNotFound => RemoteError::Unsupported(
                "the server does not describe its interfaces: name its IDL file with --idl"
                    .to_owned(),
            ),
            // Its text says why.
            ErrorCode::ConnectReject => RemoteError::Failed(format!(
                "{}\nTry this: name the IDL file with --idl, or log in with --token as a user who \
                 may ask",
                escape_control(&error.to_string())
            )),
            _ => error.into(),
        })?;
        let texts = described.value;
        let models = texts.iter().map(|text| tce_idl::compile_str(text).model);
        // Each text is complete in itself: invalid ones do not affect the others.
        let models: Vec<_> = models.flatten().collect();
        let routed = routed_interfaces(&described.extra);
        let problem = match (&routed, texts.is_empty(), models.is_empty()) {
            (_, false, true) => "the server describes its interfaces by invalid IDL",
            (None, true, _) => {
                return Err(RemoteError::Failed("the server has no interfaces".into()));
            }
            (Some(routed), true, _) if routed.is_empty() => {
                return Err(RemoteError::Failed(
                    "the gateway has no routes for clients of this endpoint".into(),
                ));
            }
            _ => return Ok(Self { models, routed }),
        };
        Err(RemoteError::Failed(format!(
            "{problem}: name its IDL file with --idl"
        )))
    }

    /// Whether calls to an interface arrive: a gateway's servers may describe more than it
    /// has routes for.
    pub(crate) fn is_reachable(&self, index: u16) -> bool {
        let routed = self.routed.as_ref();
        routed.is_none_or(|routed| routed.iter().any(|it| it.index == index))
    }

    /// What to do about the interfaces that a gateway has routes for, and no server describes;
    /// `None` if there are none.
    pub(crate) fn undescribed(&self) -> Option<String> {
        let is_described = |index: u16| {
            let mut interfaces = self.models.iter().flat_map(|model| &model.interfaces);
            interfaces.any(|it| it.index == index)
        };
        let routed = self.routed.iter().flatten();
        let undescribed = routed.filter(|it| !is_described(it.index));
        let names = undescribed.map(|it| format!("{} ({})", escape_control(&it.name), it.index));
        let names = names.collect::<Vec<_>>().join(", ");
        (!names.is_empty()).then(|| {
            format!("the servers behind the gateway do not describe {names}: name the IDL file with --idl")
        })
    }

    /// The declarations of all models.
    pub(crate) fn description(&self) -> Description {
        let mut all = Description::default();
        for model in &self.models {
            all.merge(Description::of(model));
        }
        all
    }
}

/// The interfaces that the RETURN of a gateway names.
fn routed_interfaces(extra: &Extra) -> Option<Vec<RoutedInterface>> {
    let list = extra.get(reserved::INTERFACES)?;
    let interfaces = list.split(',').filter_map(|word| {
        let (index, name) = word.split_once(':')?;
        Some(RoutedInterface {
            index: index.parse().ok()?,
            name: unescape_ascii(name).into_owned(),
        })
    });
    Some(interfaces.collect())
}
