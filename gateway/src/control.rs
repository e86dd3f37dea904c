//! `gateway.IGatewayControl`: finds and controls the users who are on line, here and
//! at the gateways that share their presence.

use std::{collections::HashSet, sync::Arc};

use arc_swap::ArcSwap;
use tce_runtime::{Context, ErrorCode, Fault, Servant, forwarding::new_push_id, wire::reserved};

use crate::{
    config::{ServerConfig, Services},
    idl::gateway::{self, IGatewayControl, IGatewayControlServant, Push, Texts, UserPage},
    presence::{
        Command, GatewayRecord, LocalSessions, Presence, PresenceError, RedisPresence,
        SessionRecord,
    },
    session::{SessionContext, SessionRegistry, is_valid_push},
    upstream::own_queue,
};

/// The maximum number of users in one call, and on one page.
pub(crate) const MAX_USERS: usize = 10_000;
/// The maximum length of a text, in bytes.
const MAX_TEXT: usize = 1024;

/// What servers, the admin page and the command line do with users. Clones are the
/// same.
#[derive(Clone)]
pub(crate) struct GatewayControl {
    registry: Arc<SessionRegistry>,
    presence: Presence,
    name: Arc<str>,
    /// The queue by which servers reach the users of this gateway; a reload may change it.
    queue: Arc<ArcSwap<String>>,
}

/// Why a call of the control interface fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ControlError {
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Presence(#[from] PresenceError),
}

/// An error with its text for the caller.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn fault(error: ControlError) -> Fault {
    let code = match error {
        ControlError::Invalid(_) => ErrorCode::RemoteException,
        ControlError::Presence(_) => ErrorCode::SendFailed,
    };
    Fault::new(code, error.to_string())
}

impl GatewayControl {
    pub(crate) fn new(context: &SessionContext) -> Self {
        Self {
            registry: Arc::clone(&context.registry),
            presence: context.presence.clone(),
            name: Arc::clone(&context.name),
            queue: Arc::default(),
        }
    }

    /// Puts a configuration in force.
    pub(crate) fn configure(&self, services: &Services, server: &ServerConfig) {
        let queue = own_queue(services, server).unwrap_or_default();
        self.queue.store(Arc::new(queue));
    }

    /// This gateway, as others see it, without its numbers.
    fn gateway(&self) -> GatewayRecord {
        GatewayRecord {
            name: self.name.to_string(),
            queue: self.queue.load().to_string(),
            users: 0,
            sessions: 0,
        }
    }

    /// The servant for servers; `None` if the configuration uses its index for another
    /// interface.
    pub(crate) fn servant(&self, services: &Services) -> Option<Arc<dyn Servant>> {
        let mut interfaces = services.interfaces.iter();
        let other = interfaces.find(|it| it.ifidx == CONTROL_INDEX && it.name != CONTROL_NAME);
        if let Some(other) = other {
            let name = other.name.as_str();
            tracing::warn!(
                name,
                "the index {CONTROL_INDEX} is that of {CONTROL_NAME}, which is not served now"
            );
            return None;
        }
        let servant = ControlServant(self.clone());
        Some(Arc::new(IGatewayControlServant::new(servant)))
    }

    /// Starts to announce the users of this gateway, and to execute the commands of
    /// others.
    pub(crate) fn start(&self) {
        let control = self.clone();
        let execute = move |command: Command| control.execute(&command);
        let described = self.clone();
        let local = Arc::clone(&self.registry);
        self.presence
            .start(move || described.gateway(), local, execute);
    }

    /// Executes a command for the sessions here.
    fn execute(&self, command: &Command) {
        match command {
            Command::Disconnect {
                user,
                device,
                reason,
            } => {
                self.disconnect_here(user, device, reason);
            }
            Command::DisconnectAll { reason } => {
                self.disconnect_all_here(reason);
            }
            Command::Push { users, message } => {
                for user in users {
                    self.registry.push(user, message);
                }
            }
        }
    }

    /// As [`Self::disconnect`], at this gateway alone.
    fn disconnect_here(&self, user: &str, device: &str, reason: &str) -> usize {
        let count = self.registry.disconnect(user, device, reason);
        // A client that is away has no connection whose end would announce it.
        self.presence.changed(&user.into());
        count
    }

    /// As [`Self::disconnect_all`], at this gateway alone.
    fn disconnect_all_here(&self, reason: &str) -> usize {
        let away = LocalSessions::users_away(&*self.registry);
        let count = self.registry.disconnect_all(reason);
        away.iter().for_each(|user| self.presence.changed(user));
        count
    }

    /// All sessions of a user, those of clients that are away behind the others.
    pub(crate) async fn sessions(&self, user: &str) -> Result<Vec<gateway::Session>, ControlError> {
        check_text(user)?;
        let here = LocalSessions::of_user(&*self.registry, user);
        let mut found = vec![(self.gateway(), true, here)];
        if let Presence::Redis(redis) = &self.presence {
            let others = redis.find(&[user]).await?.into_iter();
            found.extend(others.map(|found| {
                let records = found.sessions.into_iter().flatten();
                (found.gateway, false, records.collect())
            }));
        }
        let sessions = found.iter().flat_map(|(gateway, is_here, records)| {
            let records = records.iter();
            records.map(move |record| (gateway, *is_here, record))
        });
        let (mut sessions, away): (Vec<_>, Vec<_>) =
            sessions.partition(|(.., record)| record.is_connected());
        let epochs = sessions.iter().filter_map(|(.., record)| record.epoch);
        let mut epochs: HashSet<u64> = epochs.collect();
        // One that has come back at another gateway is listed there.
        sessions.extend(
            away.into_iter()
                .filter(|(.., record)| record.epoch.is_none_or(|it| epochs.insert(it))),
        );
        let described = sessions
            .into_iter()
            .map(|(gateway, is_here, record)| described(user, record.clone(), gateway, is_here));
        Ok(described.collect())
    }

    /// Whether each of the users is on line.
    pub(crate) async fn are_on_line(&self, users: &[String]) -> Result<Vec<bool>, ControlError> {
        check_users(users)?;
        let here = users.iter().map(|user| self.is_here(user));
        let mut on_line: Vec<_> = here.collect();
        if let Presence::Redis(redis) = &self.presence {
            for found in redis.find(&borrowed(users)).await? {
                for (is_on_line, sessions) in on_line.iter_mut().zip(&found.sessions) {
                    *is_on_line |= sessions.iter().any(SessionRecord::is_connected);
                }
            }
        }
        Ok(on_line)
    }

    /// About `limit` users who are on line, from a cursor on.
    pub(crate) async fn on_line(
        &self,
        cursor: &str,
        limit: usize,
    ) -> Result<UserPage, ControlError> {
        check_text(cursor)?;
        let limit = limit.clamp(1, MAX_USERS);
        match &self.presence {
            Presence::Memory => Ok(self.page_here(cursor, limit)),
            Presence::Redis(_) if !RedisPresence::is_cursor(cursor) => {
                let text = "this is no cursor: pass that of the page before, or an empty one";
                Err(ControlError::Invalid(text.to_owned()))
            }
            Presence::Redis(redis) => Ok(redis.page(cursor, limit).await?),
        }
    }

    /// The users of this gateway after one, in order. The cursor is the last of them.
    fn page_here(&self, after: &str, limit: usize) -> UserPage {
        let mut users = LocalSessions::users(&*self.registry);
        users.retain(|user| **user > *after);
        let has_more = users.len() > limit;
        if has_more {
            users.select_nth_unstable(limit - 1);
            users.truncate(limit);
        }
        users.sort_unstable();
        let users: Vec<_> = users.iter().map(ToString::to_string).collect();
        UserPage {
            cursor: match users.last() {
                Some(last) if has_more => last.clone(),
                _ => String::new(),
            },
            users,
        }
    }

    /// How many are on line.
    pub(crate) async fn count(&self) -> Result<gateway::Presence, ControlError> {
        let mut count = gateway::Presence {
            gateways: 1,
            users: number(LocalSessions::user_count(&*self.registry) as u64),
            sessions: number(LocalSessions::session_count(&*self.registry) as u64),
        };
        if let Presence::Redis(redis) = &self.presence {
            for found in redis.find(&[]).await? {
                count.gateways += 1;
                count.users += number(found.gateway.users);
                count.sessions += number(found.gateway.sessions);
            }
        }
        Ok(count)
    }

    /// Closes the connections of a user, and ends the histories of the user's clients that
    /// are away; with a device id only those of the device. Returns how many connections.
    pub(crate) async fn disconnect(
        &self,
        user: &str,
        device: &str,
        reason: &str,
    ) -> Result<usize, ControlError> {
        check_text(user)?;
        check_text(device)?;
        check_text(reason)?;
        let mut count = self.disconnect_here(user, device, reason);
        if let Presence::Redis(redis) = &self.presence {
            let command = Command::Disconnect {
                user: user.to_owned(),
                device: device.to_owned(),
                reason: reason.to_owned(),
            };
            for found in redis.find(&[user]).await? {
                let is_meant = |it: &&SessionRecord| device.is_empty() || it.device_id == device;
                let there = found.sessions.iter().flatten();
                let there: Vec<_> = there.filter(is_meant).collect();
                if !there.is_empty() && redis.send(&found.instance, &command).await? {
                    count += there.iter().filter(|it| it.is_connected()).count();
                }
            }
        }
        tracing::info!(
            user,
            device,
            reason,
            count,
            "disconnected a user for an operator"
        );
        Ok(count)
    }

    /// Closes the connections of all users, and ends the histories of clients that are
    /// away. Returns how many connections.
    pub(crate) async fn disconnect_all(&self, reason: &str) -> Result<usize, ControlError> {
        check_text(reason)?;
        let mut count = self.disconnect_all_here(reason);
        if let Presence::Redis(redis) = &self.presence {
            let command = Command::DisconnectAll {
                reason: reason.to_owned(),
            };
            for found in redis.find(&[]).await? {
                if redis.send(&found.instance, &command).await? {
                    count += usize::try_from(found.gateway.sessions).unwrap_or(0);
                }
            }
        }
        tracing::info!(reason, count, "disconnected all users for an operator");
        Ok(count)
    }

    /// Sends a oneway CALL to all sessions of users, those of clients that are away
    /// included, for which it is kept. Returns the users without sessions.
    pub(crate) async fn push(
        &self,
        users: &[String],
        message: &Push,
    ) -> Result<Vec<String>, ControlError> {
        check_users(users)?;
        if !is_valid_push(message) {
            let text = "the indices of interface and operation are numbers from 0 to 65535";
            return Err(ControlError::Invalid(text.to_owned()));
        }
        let mut message = message.clone();
        if matches!(self.presence, Presence::Redis(_)) {
            // A history that two gateways have for a moment gets the push once.
            message
                .extra
                .insert(reserved::PUSH_ID.to_owned(), new_push_id());
        }
        let here = users.iter().map(|user| self.registry.push(user, &message));
        let mut reached: Vec<_> = here.collect();
        if let Presence::Redis(redis) = &self.presence {
            let here = users.iter().flat_map(|user| self.registry.of_user(user));
            let mut epochs: HashSet<u64> = here.filter_map(|record| record.epoch).collect();
            for found in redis.find(&borrowed(users)).await? {
                let there = found.sessions.iter().enumerate();
                let mut is_new =
                    |record: &SessionRecord| record.epoch.is_none_or(|it| epochs.insert(it));
                let there = there.filter(|(_, sessions)| {
                    // Each of them, for the gateways that follow.
                    sessions.iter().filter(|record| is_new(record)).count() > 0
                });
                let there: Vec<_> = there.map(|(position, _)| position).collect();
                let command = Command::Push {
                    users: there.iter().map(|it| users[*it].clone()).collect(),
                    message: message.clone(),
                };
                if !there.is_empty() && redis.send(&found.instance, &command).await? {
                    there.iter().for_each(|position| reached[*position] = true);
                }
            }
        }
        let missed = users
            .iter()
            .zip(reached)
            .filter(|(_, is_reached)| !is_reached);
        Ok(missed.map(|(user, _)| user.clone()).collect())
    }

    fn is_here(&self, user: &str) -> bool {
        self.registry.has_user(user)
    }
}

/// A session, as the interface describes it.
fn described(
    user: &str,
    record: SessionRecord,
    gateway: &GatewayRecord,
    is_here: bool,
) -> gateway::Session {
    gateway::Session {
        user_id: user.to_owned(),
        device_id: record.device_id,
        connection_id: record.connection_id,
        address: record.address,
        endpoint: record.endpoint,
        since: number(record.since),
        gateway: gateway.name.clone(),
        queue: gateway.queue.clone(),
        is_here,
    }
}

fn borrowed(users: &[String]) -> Vec<&str> {
    users.iter().map(String::as_str).collect()
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn check_users(users: &[String]) -> Result<(), ControlError> {
    if users.len() > MAX_USERS {
        let text = format!("a call may name {MAX_USERS} users, and not {}", users.len());
        return Err(ControlError::Invalid(text));
    }
    users.iter().try_for_each(|user| check_text(user))
}

fn check_text(text: &str) -> Result<(), ControlError> {
    if text.len() > MAX_TEXT {
        let text = format!("a text may have {MAX_TEXT} bytes, and not {}", text.len());
        return Err(ControlError::Invalid(text));
    }
    Ok(())
}

/// The index of `gateway.IGatewayControl`.
const CONTROL_INDEX: u16 = 65003;
const CONTROL_NAME: &str = "gateway.IGatewayControl";

/// Serves the interface to servers.
struct ControlServant(GatewayControl);

impl IGatewayControl for ControlServant {
    async fn sessions(&self, user_id: String, ctx: &Context) -> Result<gateway::Sessions, Fault> {
        refuse_clients(ctx)?;
        self.0.sessions(&user_id).await.map_err(fault)
    }

    async fn is_online(&self, user_ids: Texts, ctx: &Context) -> Result<Vec<bool>, Fault> {
        refuse_clients(ctx)?;
        self.0.are_on_line(&user_ids).await.map_err(fault)
    }

    async fn online(&self, cursor: String, limit: i32, ctx: &Context) -> Result<UserPage, Fault> {
        refuse_clients(ctx)?;
        let limit = usize::try_from(limit).unwrap_or(0);
        self.0.on_line(&cursor, limit).await.map_err(fault)
    }

    async fn count(&self, ctx: &Context) -> Result<gateway::Presence, Fault> {
        refuse_clients(ctx)?;
        self.0.count().await.map_err(fault)
    }

    async fn disconnect(
        &self,
        user_id: String,
        device_id: String,
        reason: String,
        ctx: &Context,
    ) -> Result<i32, Fault> {
        refuse_clients(ctx)?;
        let count = self
            .0
            .disconnect(&user_id, &device_id, &reason)
            .await
            .map_err(fault)?;
        Ok(i32::try_from(count).unwrap_or(i32::MAX))
    }

    async fn disconnect_all(&self, reason: String, ctx: &Context) -> Result<i32, Fault> {
        refuse_clients(ctx)?;
        let count = self.0.disconnect_all(&reason).await.map_err(fault)?;
        Ok(i32::try_from(count).unwrap_or(i32::MAX))
    }

    async fn push(&self, user_ids: Texts, message: Push, ctx: &Context) -> Result<Texts, Fault> {
        refuse_clients(ctx)?;
        self.0.push(&user_ids, &message).await.map_err(fault)
    }
}

/// The servant is not added where clients call. Should a call of a client reach it
/// nevertheless, the call carries the client's user.
fn refuse_clients(ctx: &Context) -> Result<(), Fault> {
    match ctx.user_id() {
        None => Ok(()),
        Some(_) => Err(Fault::new(
            ErrorCode::InterfaceNotFound,
            "the interface is for servers",
        )),
    }
}
