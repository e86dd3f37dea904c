//! Which part of a file a warning concerns.

use std::collections::BTreeMap;

use tce_runtime::config::problem::Problem;

use super::{endpoint::EndpointId, services::Services};

/// A part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WarningScope {
    Endpoint(EndpointId),
    /// An index into [`Services::servers`].
    Server(usize),
}

/// The scopes of warnings; one that is not in it concerns the whole file.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct WarningScopes(BTreeMap<Problem, Vec<WarningScope>>);

impl WarningScopes {
    /// `is_known` says whether the warning was found before.
    pub(super) fn add(&mut self, warning: &Problem, scope: WarningScope, is_known: bool) {
        match self.0.get_mut(warning) {
            Some(scopes) => scopes.push(scope),
            None if is_known => {}
            None => {
                self.0.insert(warning.clone(), vec![scope]);
            }
        }
    }

    /// Whether a warning concerns one of the named servers.
    pub(super) fn concerns(
        &self,
        warning: &Problem,
        services: &Services,
        names: &[impl AsRef<str>],
    ) -> bool {
        let is_named = |name: &str| names.iter().any(|named| named.as_ref() == name);
        let Some(scopes) = self.0.get(warning) else {
            return true;
        };
        scopes.iter().any(|scope| match *scope {
            WarningScope::Server(index) => {
                let server = services.servers.get(index);
                server.is_some_and(|server| is_named(&server.name))
            }
            WarningScope::Endpoint(id) => {
                let mut named = services.servers.iter().filter(|it| is_named(&it.name));
                named.any(|server| server.endpoints().contains(&id))
            }
        })
    }
}
