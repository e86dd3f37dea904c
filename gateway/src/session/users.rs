//! Which connection a user is reached by.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, PoisonError, RwLock},
};

use super::Session;
use crate::config::SecondLogin;

/// What became of a login.
pub(crate) enum Bound {
    /// The user was not there before.
    New,
    /// The user was there by this connection.
    Replaced(Arc<Session>),
    /// The user is there by another connection, and stays.
    Refused,
}

/// The users who are there.
pub(crate) struct Users {
    by_id: RwLock<HashMap<Arc<str>, Arc<Session>>>,
    second_login: SecondLogin,
}

impl Users {
    pub(crate) fn new(second_login: SecondLogin) -> Self {
        Self {
            by_id: RwLock::default(),
            second_login,
        }
    }

    /// Has `user` reached by `session` from now on.
    pub(crate) fn bind(&self, user: &Arc<str>, session: &Arc<Session>) -> Bound {
        let mut users = self.by_id.write().unwrap_or_else(PoisonError::into_inner);
        match users.entry(Arc::clone(user)) {
            Entry::Vacant(place) => {
                place.insert(Arc::clone(session));
                Bound::New
            }
            Entry::Occupied(_) if self.second_login == SecondLogin::Refuse => Bound::Refused,
            Entry::Occupied(mut place) => Bound::Replaced(place.insert(Arc::clone(session))),
        }
    }

    /// Forgets `user`, if it is still that session by which it is reached.
    pub(crate) fn unbind(&self, user: &Arc<str>, session: u64) -> bool {
        let mut users = self.by_id.write().unwrap_or_else(PoisonError::into_inner);
        match users.entry(Arc::clone(user)) {
            Entry::Occupied(place) if place.get().number == session => {
                place.remove();
                true
            }
            _ => false,
        }
    }

    /// The connection by which a user is reached.
    pub(crate) fn get(&self, user: &str) -> Option<Arc<Session>> {
        let users = self.by_id.read().unwrap_or_else(PoisonError::into_inner);
        users.get(user).cloned()
    }

    pub(crate) fn count(&self) -> usize {
        let users = self.by_id.read().unwrap_or_else(PoisonError::into_inner);
        users.len()
    }
}
