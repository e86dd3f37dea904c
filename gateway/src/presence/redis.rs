//! Presence in Redis: this gateway announces its users, and looks up those of others.
//!
//! One task announces, over one connection, which lookups share while it works. It
//! reconnects, and then announces everything anew. No login and no call waits for it.

use std::{sync::Arc, time::Duration};

use arc_swap::{ArcSwap, ArcSwapOption};
use backon::{ExponentialBuilder, Retryable};
use parking_lot::Mutex;
use redis::{
    AsyncConnectionConfig, Client, Pipeline, PushInfo, PushKind, RedisError, Value,
    aio::MultiplexedConnection, from_redis_value, pipe,
};
use tce_runtime::forwarding::LogLimit;
use tokio::{
    task::AbortHandle,
    time::{MissedTickBehavior, interval},
};

use super::{
    GatewayRecord, LocalSessions, PresenceError, SessionRecord,
    changes::{ChangedUsers, Changes},
    command::Command,
    keys::{GATEWAY_FIELD, Keys, decode, encode},
};
use crate::{
    config::RedisUrl,
    idl::gateway::UserPage,
    metrics::{self, GATEWAY},
};

/// The pauses between attempts to announce.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
const CONNECT_TIME: Duration = Duration::from_secs(2);
/// The time limit of an answer of Redis. A connection that exceeds it is given up.
const RESPONSE_TIME: Duration = Duration::from_secs(2);
/// The number of users in one message to Redis: their records take about half a
/// millisecond of the thread.
const BATCH: usize = 256;
/// How long an incomplete announcement may take before Redis drops it.
const ANNOUNCEMENT_TIME: Duration = Duration::from_secs(60);
/// How long Redis keeps the list of gateways without any of them.
const LIST_TIME: Duration = Duration::from_secs(24 * 3600);
/// How often a lookup is repeated if gateways have come or gone meanwhile.
const LOOKUPS: usize = 3;

/// Executes the commands of other gateways.
pub(super) type Execute = Arc<dyn Fn(Command) + Send + Sync>;
/// The record of this gateway, without its numbers.
pub(super) type Describe = Box<dyn Fn() -> GatewayRecord + Send + Sync>;

/// The presence that several gateways share. Clones are the same.
#[derive(Clone)]
pub(crate) struct RedisPresence(Arc<Shared>);

struct Shared {
    client: Client,
    keys: Keys,
    /// Time between two refreshes of this gateway's keys.
    refresh: Duration,
    changed: ChangedUsers,
    /// The connection of the announcer; `None` while Redis does not answer.
    connection: ArcSwapOption<MultiplexedConnection>,
    /// The instances of other gateways, as they were seen last.
    others: ArcSwap<Vec<String>>,
    announcer: Mutex<Option<AbortHandle>>,
}

/// What was found at another gateway.
pub(crate) struct Found {
    pub(crate) instance: String,
    pub(crate) gateway: GatewayRecord,
    /// For each of the users who were looked up their sessions, or none.
    pub(crate) sessions: Vec<Vec<SessionRecord>>,
}

impl RedisPresence {
    pub(super) fn new(url: &RedisUrl, keys: Keys, refresh: Duration) -> Option<Self> {
        Some(Self(Arc::new(Shared {
            client: url.client().ok()?,
            keys,
            refresh,
            changed: ChangedUsers::default(),
            connection: ArcSwapOption::empty(),
            others: ArcSwap::default(),
            announcer: Mutex::default(),
        })))
    }

    pub(super) fn changed(&self, user: &Arc<str>) {
        self.0.changed.add(user);
    }

    pub(super) fn start(&self, gateway: Describe, local: Arc<dyn LocalSessions>, execute: Execute) {
        let announcer = Announcer {
            shared: Arc::clone(&self.0),
            gateway,
            local,
            execute,
        };
        let task = tokio::spawn(async move { announcer.run().await });
        *self.0.announcer.lock() = Some(task.abort_handle());
    }

    /// Removes the users of this gateway, which ends.
    pub(super) async fn end(&self) {
        if let Some(announcer) = self.0.announcer.lock().take() {
            announcer.abort();
        }
        let Some(connection) = self.0.connection.swap(None) else {
            return;
        };
        let keys = &self.0.keys;
        let mut removal = pipe();
        removal.del(keys.gateway(&keys.instance)).ignore();
        removal.srem(keys.gateways(), &*keys.instance).ignore();
        let mut connection = MultiplexedConnection::clone(&connection);
        if let Err(error) = removal.exec_async(&mut connection).await {
            tracing::warn!("can't remove the users of this gateway from Redis: {error}");
        }
    }

    /// Looks users up at all other gateways.
    pub(crate) async fn find(&self, users: &[&str]) -> Result<Vec<Found>, PresenceError> {
        let fields = [GATEWAY_FIELD].iter().chain(users);
        let fields: Vec<_> = fields.copied().collect();
        let answers = self
            .ask_others(|pipe, key| {
                pipe.cmd("HMGET").arg(key).arg(&fields);
            })
            .await?;
        let found = answers.into_iter().filter_map(|(instance, values)| {
            let values: Vec<Option<String>> = from_redis_value(values).ok()?;
            let mut values = values.into_iter();
            // Without itself, the gateway has died or is about to announce itself.
            let gateway = decode(values.next()?.as_deref())?;
            let sessions = values.map(|value| decode(value.as_deref()).unwrap_or_default());
            Some(Found {
                instance,
                gateway,
                sessions: sessions.collect(),
            })
        });
        Ok(found.collect())
    }

    /// Whether a text is a cursor of [`RedisPresence::page`].
    pub(crate) fn is_cursor(text: &str) -> bool {
        let scan = text.split_once('/').map(|(scan, _)| scan);
        text.is_empty() || scan.is_some_and(|scan| scan.parse::<u64>().is_ok())
    }

    /// About `limit` users of all gateways, this one included, from a cursor on: one
    /// gateway after the other, whichever of them answers.
    pub(crate) async fn page(&self, cursor: &str, limit: usize) -> Result<UserPage, PresenceError> {
        let mut connection = self.connection()?;
        let members = redis::cmd("SMEMBERS")
            .arg(self.0.keys.gateways())
            .query_async(&mut connection)
            .await;
        let mut instances: Vec<String> = members.map_err(|it| unread(&it))?;
        instances.sort_unstable();
        let (scan, instance) = match cursor.split_once('/') {
            Some((scan, instance)) => (scan, instance),
            None => ("0", instances.first().map_or("", String::as_str)),
        };
        let mut scanning = redis::cmd("HSCAN");
        scanning.arg(self.0.keys.gateway(instance)).arg(scan);
        scanning.arg("COUNT").arg(limit);
        let scanned = scanning.query_async(&mut connection).await;
        let (scan, pairs): (u64, Vec<(String, String)>) = scanned.map_err(|it| unread(&it))?;
        let next = match scan {
            0 => {
                let mut later = instances.iter().filter(|it| it.as_str() > instance);
                later.next().map(|next| format!("0/{next}"))
            }
            _ => Some(format!("{scan}/{instance}")),
        };
        let users = pairs
            .into_iter()
            .filter(|(user, sessions)| user != GATEWAY_FIELD && has_connected(sessions));
        Ok(UserPage {
            users: users.map(|(user, _)| user).collect(),
            cursor: next.unwrap_or_default(),
        })
    }

    /// Asks another gateway to execute a command. Returns whether it was there.
    pub(crate) async fn send(
        &self,
        instance: &str,
        command: &Command,
    ) -> Result<bool, PresenceError> {
        let mut connection = self.connection()?;
        let mut publishing = redis::cmd("PUBLISH");
        publishing
            .arg(self.0.keys.control(instance))
            .arg(command.encode());
        let heard: Result<u64, _> = publishing.query_async(&mut connection).await;
        Ok(heard.map_err(|it| unread(&it))? > 0)
    }

    fn connection(&self) -> Result<MultiplexedConnection, PresenceError> {
        let connection = self.0.connection.load_full();
        let connection = connection.ok_or_else(|| PresenceError("Redis does not answer".into()))?;
        Ok(MultiplexedConnection::clone(&connection))
    }

    /// The answers of all other gateways' keys to a command, in one round trip unless
    /// gateways have come or gone since the last one.
    async fn ask_others(
        &self,
        command: impl Fn(&mut Pipeline, String),
    ) -> Result<Vec<(String, Value)>, PresenceError> {
        let mut connection = self.connection()?;
        for _ in 0..LOOKUPS {
            let others = self.0.others.load_full();
            let mut asking = pipe();
            asking.smembers(self.0.keys.gateways());
            for instance in others.iter() {
                command(&mut asking, self.0.keys.gateway(instance));
            }
            let answers: Result<Vec<Value>, _> = asking.query_async(&mut connection).await;
            let mut answers = answers.map_err(|it| unread(&it))?.into_iter();
            let members = answers.next().unwrap_or(Value::Nil);
            let present = self.0.others_of(members).map_err(|it| unread(&it))?;
            if present == *others {
                return Ok(present.into_iter().zip(answers).collect());
            }
            self.0.others.store(Arc::new(present));
        }
        Err(PresenceError("the gateways change all the time".into()))
    }
}

/// Whether a client of a user is connected.
fn has_connected(sessions: &str) -> bool {
    let sessions: Vec<SessionRecord> = decode(Some(sessions)).unwrap_or_default();
    sessions.iter().any(SessionRecord::is_connected)
}

/// The text of an error of Redis holds neither the URL nor the password.
fn unread(error: &RedisError) -> PresenceError {
    PresenceError(format!("Redis: {error}"))
}

impl Shared {
    /// The other gateways among the members of the list, in order.
    fn others_of(&self, members: Value) -> Result<Vec<String>, RedisError> {
        let mut others: Vec<String> = from_redis_value(members)?;
        others.retain(|instance| **instance != *self.keys.instance);
        others.sort_unstable();
        Ok(others)
    }
}

/// Announces the users of this gateway.
struct Announcer {
    shared: Arc<Shared>,
    gateway: Describe,
    local: Arc<dyn LocalSessions>,
    execute: Execute,
}

/// Why the announced state is no longer that of this gateway.
enum Outdated {
    /// The connection does not work.
    Lost(RedisError),
    /// Redis has lost the keys, or more users have changed than are kept.
    State,
}

impl From<RedisError> for Outdated {
    fn from(error: RedisError) -> Self {
        Self::Lost(error)
    }
}

impl Announcer {
    /// Announces until it is dropped.
    async fn run(&self) {
        let backoff = ExponentialBuilder::default()
            .with_min_delay(BACKOFF_MIN)
            // Jitter adds up to the pause itself.
            .with_max_delay(BACKOFF_MAX / 2)
            .with_jitter()
            .without_max_times();
        loop {
            let announcing = (|| self.announce()).retry(backoff);
            let announced = announcing.notify(|error, _| self.report(error)).await;
            let Ok(connection) = announced else {
                continue;
            };
            self.set_up(true);
            tracing::info!(instance = %self.shared.keys.instance, "the users are announced in Redis");
            match self.keep(connection).await {
                Outdated::Lost(error) => self.report(&error),
                Outdated::State => {}
            }
        }
    }

    /// Connects, and announces all users.
    async fn announce(&self) -> Result<MultiplexedConnection, RedisError> {
        self.shared.connection.store(None);
        let mut connection = self.connect().await?;
        self.announce_all(&mut connection).await?;
        let shared = Arc::new(connection.clone());
        self.shared.connection.store(Some(shared));
        Ok(connection)
    }

    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let execute = Arc::clone(&self.execute);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIME))
            .set_response_timeout(Some(RESPONSE_TIME))
            .set_push_sender(move |push| {
                receive(push, &execute);
                Ok::<_, redis::aio::SendError>(())
            });
        let client = &self.shared.client;
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = connecting.await?;
        let keys = &self.shared.keys;
        connection.subscribe(keys.control(&keys.instance)).await?;
        Ok(connection)
    }

    /// Replaces what Redis has of this gateway by all its users, at once for readers.
    async fn announce_all(&self, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        let keys = &self.shared.keys;
        let key = keys.gateway(&keys.instance);
        let new = format!("{key}:new");
        // Before the users are listed: changes from here on are announced afterwards.
        self.shared.changed.clear();
        let mut users = self.local.users();
        // A user with two devices may be in both lists, and is written twice.
        users.extend(self.local.users_away());
        let mut beginning = pipe();
        beginning.del(&new).ignore();
        beginning.hset(&new, GATEWAY_FIELD, self.gateway()).ignore();
        beginning.pexpire(&new, millis(ANNOUNCEMENT_TIME)).ignore();
        beginning.exec_async(connection).await?;
        for users in users.chunks(BATCH) {
            let mut batch = pipe();
            for user in users {
                self.add(&mut batch, &new, user);
            }
            batch.exec_async(connection).await?;
        }
        let mut ending = pipe();
        ending.atomic();
        ending.pexpire(&new, self.lifetime()).ignore();
        ending.rename(&new, &key).ignore();
        ending.sadd(keys.gateways(), &*keys.instance).ignore();
        ending.exec_async(connection).await
    }

    /// Keeps the announced state up to date.
    async fn keep(&self, mut connection: MultiplexedConnection) -> Outdated {
        let mut refreshes = interval(self.shared.refresh);
        refreshes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let kept = tokio::select! {
                _ = refreshes.tick() => self.refresh(&mut connection).await,
                changes = self.shared.changed.take(BATCH) => match changes {
                    Changes::Users(users) => self.update(&mut connection, &users).await,
                    Changes::All => Err(Outdated::State),
                },
            };
            if let Err(outdated) = kept {
                return outdated;
            }
        }
    }

    async fn update(
        &self,
        connection: &mut MultiplexedConnection,
        users: &[Arc<str>],
    ) -> Result<(), Outdated> {
        let key = self.shared.keys.gateway(&self.shared.keys.instance);
        let mut update = pipe();
        update.hexists(&key, GATEWAY_FIELD);
        for user in users {
            self.add(&mut update, &key, user);
        }
        let (is_known,): (bool,) = update.query_async(connection).await?;
        // Without itself, Redis has lost the whole key.
        is_known.then_some(()).ok_or(Outdated::State)
    }

    /// Keeps the keys alive, and removes gateways that have died from the list.
    async fn refresh(&self, connection: &mut MultiplexedConnection) -> Result<(), Outdated> {
        let keys = &self.shared.keys;
        let key = keys.gateway(&keys.instance);
        let mut refresh = pipe();
        refresh.hexists(&key, GATEWAY_FIELD);
        refresh.hset(&key, GATEWAY_FIELD, self.gateway()).ignore();
        refresh.pexpire(&key, self.lifetime()).ignore();
        refresh.sadd(keys.gateways(), &*keys.instance).ignore();
        refresh.pexpire(keys.gateways(), millis(LIST_TIME)).ignore();
        refresh.smembers(keys.gateways());
        let (is_known, members): (bool, Value) = refresh.query_async(connection).await?;
        if !is_known {
            return Err(Outdated::State);
        }
        let others = self.shared.others_of(members)?;
        let mut checking = pipe();
        others.iter().for_each(|instance| {
            checking.exists(keys.gateway(instance));
        });
        if others.is_empty() {
            return Ok(());
        }
        let alive: Vec<bool> = checking.query_async(connection).await?;
        let dead = others
            .iter()
            .zip(&alive)
            .filter(|(_, is_alive)| !**is_alive);
        let dead: Vec<_> = dead.map(|(instance, _)| instance).collect();
        if !dead.is_empty() {
            // One that has only been slow adds itself at its next refresh.
            let mut removal = pipe();
            removal.srem(keys.gateways(), &dead).ignore();
            removal.exec_async(connection).await?;
        }
        Ok(())
    }

    /// Adds the present state of a user to the commands for a key.
    fn add(&self, commands: &mut Pipeline, key: &str, user: &str) {
        let sessions = self.local.of_user(user);
        match sessions.is_empty() {
            true => commands.hdel(key, user).ignore(),
            false => commands.hset(key, user, encode(&sessions)).ignore(),
        };
    }

    /// The record of this gateway.
    fn gateway(&self) -> String {
        encode(&GatewayRecord {
            users: self.local.user_count() as u64,
            sessions: self.local.session_count() as u64,
            ..(self.gateway)()
        })
    }

    /// How long the keys live after a refresh, in milliseconds: one may be missed.
    fn lifetime(&self) -> i64 {
        millis(self.shared.refresh.saturating_mul(5) / 2)
    }

    fn report(&self, error: &RedisError) {
        static LIMIT: LogLimit = LogLimit::new();
        self.set_up(false);
        if LIMIT.allows("failures of Redis") {
            tracing::warn!("can't announce the users in Redis, retrying: {error}");
        }
    }

    fn set_up(&self, is_up: bool) {
        let gateway = (self.gateway)().name;
        let value = if is_up { 1.0 } else { 0.0 };
        ::metrics::gauge!(metrics::PRESENCE_UP, GATEWAY => gateway).set(value);
    }
}

/// Executes a command that another gateway has published.
fn receive(push: PushInfo, execute: &Execute) {
    if push.kind != PushKind::Message {
        return;
    }
    let payload = push.data.into_iter().nth(1);
    let payload: Option<Vec<u8>> = payload.and_then(|payload| from_redis_value(payload).ok());
    match payload.as_deref().map(Command::decode) {
        Some(Ok(Some(command))) => execute(command),
        Some(Ok(None)) => {
            tracing::warn!("another gateway has sent a command that this version does not know");
        }
        Some(Err(error)) => tracing::warn!("a command in Redis does not decode: {error}"),
        None => {}
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
