//! Histories in Redis: a client resumes at another gateway, and after a restart of its own.
//!
//! | key | type | content |
//! | --- | --- | --- |
//! | `PREFIX:history:EPOCH` | hash, expires | `user`, `device`, `endpoint` of the session; `owner`, the instance of the gateway where it is or was; `last`, the offset of the last push; `bytes` of the stream; by instance the number of the last push that it has stored |
//! | `PREFIX:history:EPOCH:pushes` | stream, expires | the pushes, by the id `OFFSET-0` |
//! | `PREFIX:history:EPOCH:push:ID` | string, expires | the push with this `__push_id__` is stored |
//! | `PREFIX:histories:GATEWAY` | set, expires | the epochs of the sessions that were at a gateway |
//! | `PREFIX:resume:INSTANCE` | channel | the epochs in which another gateway has stored a push, and with `!` before them those that it has taken over |
//!
//! Redis numbers the pushes, whichever gateway they arrive at, and the owner sends a push
//! when it is stored. Scripts store a push and change the owner, so that each push is either
//! among those that a new owner reads at first, or announced to it: none is lost between
//! two gateways, and no offset belongs to two pushes.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use parking_lot::Mutex;
use redis::{
    AsyncConnectionConfig, Client, Pipeline, PushInfo, PushKind, RedisError,
    aio::MultiplexedConnection, from_redis_value, pipe,
};
use tce_runtime::forwarding::LogLimit;
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::history::{Histories, History, KeptPush, ResumePoint, StoreCommand, StoreQueue};
use crate::routing::{EndpointKey, EndpointKeys};

const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
const CONNECT_TIME: Duration = Duration::from_secs(2);
/// The time limit of an answer of Redis. A connection that exceeds it is given up.
const RESPONSE_TIME: Duration = Duration::from_secs(2);
/// How long a login waits for Redis. Then its pushes are not kept.
const LOGIN_TIME: Duration = Duration::from_secs(2);
/// The most commands in one message to Redis, and the most pushes that are read at once.
const BATCH: usize = 256;
/// How long a shutdown waits for Redis to store what has arrived.
const FLUSH_TIME: Duration = Duration::from_secs(2);
/// How long after a push another gateway may get the same one, in milliseconds.
const PUSH_ID_TIME: u32 = 10_000;
const FLUSH_CHECK: Duration = Duration::from_millis(5);
/// The shortest time between two refreshes.
const MIN_REFRESH: Duration = Duration::from_secs(1);
/// How much longer than `resume_time` Redis keeps a history: the gateway counts from the
/// loss of the connection, which it may notice later than the last refresh.
const EXPIRY_MARGIN: Duration = Duration::from_secs(30);

/// Stores a push. KEYS: hash, stream, and the key of its id if it has one. ARGV: push,
/// instance, number, most bytes, expiry in ms, prefix of channels, epoch, expiry of the id in
/// ms. Returns the offset, or 0 if it was stored before; nil without a history.
const STORE: &str = r"
local owner = redis.call('HGET', KEYS[1], 'owner')
if not owner then return nil end
local writer = 'writer:' .. ARGV[2]
if tonumber(redis.call('HGET', KEYS[1], writer) or '0') >= tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], writer, ARGV[3])
if KEYS[3] and not redis.call('SET', KEYS[3], '', 'NX', 'PX', ARGV[8]) then return 0 end
local offset = redis.call('HINCRBY', KEYS[1], 'last', 1)
redis.call('XADD', KEYS[2], offset .. '-0', 'p', ARGV[1])
local bytes = redis.call('HINCRBY', KEYS[1], 'bytes', #ARGV[1])
while bytes > tonumber(ARGV[4]) do
  local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
  redis.call('XDEL', KEYS[2], oldest[1])
  bytes = redis.call('HINCRBY', KEYS[1], 'bytes', -#oldest[2][2])
end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
if owner ~= ARGV[2] then redis.call('PUBLISH', ARGV[6] .. owner, ARGV[7]) end
return offset
";

/// Makes a gateway the owner of a history. KEYS: hash, stream, set. ARGV: user, instance,
/// handled offset, expiry in ms, prefix of channels, epoch, mark. Returns the last offset, the
/// device and the endpoint, and the pushes after the handled one; nil if the user has no
/// such history.
const TAKE_OVER: &str = r"
local known = redis.call('HMGET', KEYS[1], 'user', 'last', 'owner', 'device', 'endpoint')
if known[1] ~= ARGV[1] or tonumber(known[2]) < tonumber(ARGV[3]) then return nil end
redis.call('HSET', KEYS[1], 'owner', ARGV[2])
redis.call('SADD', KEYS[3], ARGV[6])
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[4]) end
if known[3] ~= ARGV[2] then redis.call('PUBLISH', ARGV[5] .. known[3], ARGV[7] .. ARGV[6]) end
return {tonumber(known[2]), known[4], known[5], redis.call('XRANGE', KEYS[2], '(' .. ARGV[3] .. '-0', '+')}
";

/// Removes a history that this gateway owns. KEYS: hash, stream, set. ARGV: instance, epoch.
const REMOVE: &str = r"
redis.call('SREM', KEYS[3], ARGV[2])
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1], KEYS[2])
";

/// What precedes an epoch on the channel if the history has been taken over.
const MOVED: char = '!';

/// The store of the histories of a gateway. One task executes its commands, over one
/// connection that logins share. It reconnects, and then repeats what was not answered;
/// the scripts store nothing twice.
pub(super) struct HistoryStore {
    client: Client,
    prefix: String,
    /// The name of the gateway.
    name: String,
    /// This run of it.
    instance: String,
    histories: Arc<Histories>,
    queue: Arc<StoreQueue>,
    commands: Mutex<Option<mpsc::Receiver<StoreCommand>>>,
    connection: watch::Sender<Option<StoreConnection>>,
}

/// A connection to Redis with the scripts loaded.
#[derive(Clone)]
struct StoreConnection {
    redis: MultiplexedConnection,
    store: String,
    take_over: String,
    remove: String,
}

/// The login of a client that asks for its pushes to be kept.
pub(super) struct HistoryLogin<'a> {
    pub(super) user: &'a Arc<str>,
    pub(super) device: Option<&'a str>,
    pub(super) endpoint: EndpointKey,
    /// The value of `__resume__`.
    pub(super) resume: &'a str,
}

/// A history that this gateway has taken over.
struct TakenHistory {
    last: u64,
    device: String,
    endpoint: String,
    /// Those after the last one that the client has handled, up to `last`.
    pushes: Vec<KeptPush>,
}

/// The entries of a stream: the id, the field, the push.
type Entries = Vec<(String, (String, Vec<u8>))>;

impl HistoryStore {
    /// `instance` is the name of the gateway, and behind a colon a number of this run.
    pub(super) fn new(
        client: Client,
        prefix: &str,
        instance: &str,
        histories: &Arc<Histories>,
        (queue, commands): (Arc<StoreQueue>, mpsc::Receiver<StoreCommand>),
    ) -> Arc<Self> {
        Arc::new(Self {
            client,
            prefix: prefix.to_owned(),
            name: name_of(instance).to_owned(),
            instance: instance.to_owned(),
            histories: Arc::clone(histories),
            queue,
            commands: Mutex::new(Some(commands)),
            connection: watch::channel(None).0,
        })
    }

    /// The history of a login: the one that the client names, or a new one, and the last
    /// push that the client has handled. `None` if Redis does not answer.
    pub(super) async fn begin(
        &self,
        login: &HistoryLogin<'_>,
        keys: &EndpointKeys,
    ) -> Option<(Arc<History>, Option<u64>)> {
        let beginning = async {
            if let Some(point) = ResumePoint::parse(login.resume)
                && let Some(history) = self.take_over(login.user, point, keys).await?
            {
                return Ok::<_, RedisError>((history, Some(point.offset)));
            }
            Ok((self.create(login, keys).await?, None))
        };
        match timeout(LOGIN_TIME, beginning).await {
            Ok(Ok(history)) => Some(history),
            Ok(Err(error)) => {
                report(&error);
                None
            }
            Err(_) => None,
        }
    }

    async fn create(
        &self,
        login: &HistoryLogin<'_>,
        keys: &EndpointKeys,
    ) -> Result<Arc<History>, RedisError> {
        let mut connection = self.connection().await;
        let epoch = self.histories.new_epoch();
        let [hash, stream, set] = self.keys(epoch);
        let mut creating = pipe();
        creating.atomic();
        creating.hset_multiple(
            &hash,
            &[
                ("user", &**login.user),
                ("device", login.device.unwrap_or_default()),
                ("endpoint", &*keys.name(login.endpoint)),
                ("owner", &self.instance),
                ("last", "0"),
            ],
        );
        creating.sadd(&set, epoch_text(epoch));
        self.expire(&mut creating, &[hash, stream, set]);
        creating.exec_async(&mut connection.redis).await?;
        let histories = &self.histories;
        let history = histories.add(epoch, login.user, login.device, login.endpoint);
        history.follow(0, &[]);
        Ok(history)
    }

    async fn take_over(
        &self,
        user: &Arc<str>,
        point: ResumePoint,
        keys: &EndpointKeys,
    ) -> Result<Option<Arc<History>>, RedisError> {
        let ResumePoint { epoch, offset } = point;
        let mut connection = self.connection().await;
        let mut taking = redis::cmd("EVALSHA");
        taking.arg(&connection.take_over).arg(3);
        taking.arg(&self.keys(epoch));
        taking.arg(&**user).arg(&self.instance).arg(offset);
        taking.arg(self.expiry()).arg(self.channel(""));
        taking.arg(epoch_text(epoch)).arg(MOVED.to_string());
        let taken = taking.query_async(&mut connection.redis).await?;
        let Some(taken) = TakenHistory::new(taken) else {
            return Ok(None);
        };
        let device = Some(&*taken.device).filter(|device| !device.is_empty());
        let endpoint = keys.key(&taken.endpoint);
        let history = self.histories.add(epoch, user, device, endpoint);
        if history.is_closed() {
            // Redis did not answer for so long that pushes were dropped.
            self.histories.close(&history);
            return Ok(None);
        }
        history.follow(taken.last, &taken.pushes);
        // What was stored since the script ran may have been announced before the history
        // was followed.
        self.queue.read(&history);
        Ok(Some(history))
    }

    /// The histories of an earlier run of this gateway, whose clients may come back.
    pub(super) async fn restored(&self, keys: &EndpointKeys) -> Vec<Arc<History>> {
        let restoring = self.restore(keys);
        match timeout(LOGIN_TIME, restoring).await {
            Ok(Ok(histories)) => histories,
            Ok(Err(error)) => {
                report(&error);
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    }

    async fn restore(&self, keys: &EndpointKeys) -> Result<Vec<Arc<History>>, RedisError> {
        let mut connection = self.connection().await;
        let mut listing = redis::cmd("SMEMBERS");
        let listing = listing.arg(self.set()).query_async(&mut connection.redis);
        let epochs: Vec<String> = listing.await?;
        let mut restored = Vec::new();
        for epochs in epochs.chunks(BATCH) {
            let mut reading = pipe();
            for epoch in epochs {
                reading.cmd("HMGET").arg(self.hash(epoch));
                reading.arg(&["user", "device", "endpoint", "owner"]);
            }
            let rows: Vec<[Option<String>; 4]> = reading.query_async(&mut connection.redis).await?;
            for (epoch, row) in epochs.iter().zip(rows) {
                let (Ok(epoch), [Some(user), Some(device), Some(endpoint), Some(owner)]) =
                    (u64::from_str_radix(epoch, 16), row)
                else {
                    continue;
                };
                if name_of(&owner) == self.name {
                    let device = Some(&*device).filter(|device| !device.is_empty());
                    let endpoint = keys.key(&endpoint);
                    let history = self.histories.add(epoch, &user.into(), device, endpoint);
                    history.detach(0);
                    restored.push(history);
                }
            }
        }
        Ok(restored)
    }

    /// Waits until all pushes are stored, for a moment.
    pub(super) async fn flush(&self) {
        let flushed = async {
            while !self.queue.is_empty() {
                sleep(FLUSH_CHECK).await;
            }
        };
        if timeout(FLUSH_TIME, flushed).await.is_err() {
            tracing::error!("Redis does not answer: pushes that it has not stored are lost");
        }
    }

    /// Executes commands until it is dropped.
    pub(super) async fn run(&self) {
        let Some(mut commands) = self.commands.lock().take() else {
            return;
        };
        let mut waiting = VecDeque::new();
        let mut number = 0;
        loop {
            let mut connection = self.reconnect().await;
            // What was announced meanwhile was not heard.
            let followed = self.histories.followed().into_iter();
            waiting.extend(followed.map(|history| (0, StoreCommand::Read(history))));
            self.connection.send_replace(Some(connection.clone()));
            let lost = self
                .serve(&mut connection, &mut commands, &mut waiting, &mut number)
                .await;
            self.connection.send_replace(None);
            report(&lost);
        }
    }

    async fn reconnect(&self) -> StoreConnection {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(BACKOFF_MIN)
            .with_max_delay(BACKOFF_MAX / 2)
            .with_jitter()
            .without_max_times();
        for pause in pauses.build() {
            match self.connect().await {
                Ok(connection) => return connection,
                Err(error) => report(&error),
            }
            sleep(pause).await;
        }
        // Without a maximum number of times the pauses never end.
        std::future::pending().await
    }

    async fn connect(&self) -> Result<StoreConnection, RedisError> {
        let (histories, queue) = (Arc::clone(&self.histories), Arc::clone(&self.queue));
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIME))
            .set_response_timeout(Some(RESPONSE_TIME))
            .set_push_sender(move |push| {
                heard(push, &histories, &queue);
                Ok::<_, redis::aio::SendError>(())
            });
        let client = &self.client;
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        let mut redis = connecting.await?;
        redis.subscribe(self.channel(&self.instance)).await?;
        let mut loading = pipe();
        for script in [STORE, TAKE_OVER, REMOVE] {
            loading.cmd("SCRIPT").arg("LOAD").arg(script);
        }
        let (store, take_over, remove) = loading.query_async(&mut redis).await?;
        Ok(StoreConnection {
            redis,
            store,
            take_over,
            remove,
        })
    }

    /// Executes commands until the connection fails. Those that were not answered stay in
    /// `waiting`.
    async fn serve(
        &self,
        connection: &mut StoreConnection,
        commands: &mut mpsc::Receiver<StoreCommand>,
        waiting: &mut VecDeque<(u64, StoreCommand)>,
        number: &mut u64,
    ) -> RedisError {
        let mut refreshes = interval((self.histories.time() / 3).max(MIN_REFRESH));
        refreshes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut received = Vec::new();
            let executed = tokio::select! {
                biased;
                _ = refreshes.tick() => self.refresh(connection).await,
                count = commands.recv_many(&mut received, BATCH), if waiting.is_empty() => {
                    if count == 0 {
                        std::future::pending::<()>().await;
                    }
                    waiting.extend(received.into_iter().map(|command| {
                        *number += 1;
                        (*number, command)
                    }));
                    self.execute(connection, waiting).await
                }
                () = std::future::ready(()), if !waiting.is_empty() => {
                    self.execute(connection, waiting).await
                }
            };
            if let Err(error) = executed {
                return error;
            }
        }
    }

    /// Executes all that waits, in one round trip, and one for each history that has to be
    /// read.
    async fn execute(
        &self,
        connection: &mut StoreConnection,
        waiting: &mut VecDeque<(u64, StoreCommand)>,
    ) -> Result<(), RedisError> {
        let mut batch = pipe();
        for (number, command) in waiting.iter() {
            self.add(&mut batch, connection, *number, command);
        }
        let offsets: Vec<Option<u64>> = match batch.is_empty() {
            true => Vec::new(),
            false => batch.query_async(&mut connection.redis).await?,
        };
        let mut offsets = offsets.into_iter();
        let mut outdated = Vec::new();
        for (_, command) in waiting.drain(..) {
            match command {
                StoreCommand::Push(history, push, _) => {
                    self.queue.done(&push);
                    match offsets.next().flatten() {
                        Some(0) => outdated.push(history),
                        Some(offset) if history.stored(offset, &push) => {}
                        Some(_) => outdated.push(history),
                        None => history.fail(),
                    }
                }
                StoreCommand::Read(history) => outdated.push(history),
                StoreCommand::Release(_) | StoreCommand::Remove(_) => {}
            }
        }
        // Read after the next reconnect if this fails.
        let mut read = HashSet::new();
        outdated.retain(|history| read.insert(history.epoch));
        for history in outdated {
            self.read(connection, &history).await?;
        }
        Ok(())
    }

    fn add(
        &self,
        batch: &mut Pipeline,
        connection: &StoreConnection,
        number: u64,
        command: &StoreCommand,
    ) {
        match command {
            StoreCommand::Push(history, push, id) => {
                let [hash, stream, _] = self.keys(history.epoch);
                let id = id.map(|id| format!("{hash}:push:{id:016x}"));
                batch.cmd("EVALSHA").arg(&connection.store);
                batch.arg(2 + usize::from(id.is_some()));
                batch.arg(hash).arg(stream).arg(id);
                batch.arg(&**push).arg(&self.instance).arg(number);
                batch.arg(self.histories.bytes_of_one()).arg(self.expiry());
                batch.arg(self.channel("")).arg(epoch_text(history.epoch));
                batch.arg(PUSH_ID_TIME);
            }
            StoreCommand::Read(_) => {}
            StoreCommand::Release(epoch) => self.expire(batch, &self.keys(*epoch)),
            StoreCommand::Remove(epoch) => {
                batch.cmd("EVALSHA").arg(&connection.remove).arg(3);
                batch.arg(&self.keys(*epoch));
                batch.arg(&self.instance).arg(epoch_text(*epoch)).ignore();
            }
        }
    }

    /// Adds the pushes of a history that are not known here yet.
    async fn read(
        &self,
        connection: &mut StoreConnection,
        history: &Arc<History>,
    ) -> Result<(), RedisError> {
        while let Some(last) = history.followed_to() {
            let mut reading = redis::cmd("XRANGE");
            let [_, stream, _] = self.keys(history.epoch);
            reading.arg(stream).arg(format!("({last}-0")).arg("+");
            reading.arg("COUNT").arg(BATCH);
            let entries: Entries = reading.query_async(&mut connection.redis).await?;
            let count = entries.len();
            for (id, (_, push)) in entries {
                let Some(offset) = offset_of(&id) else {
                    continue;
                };
                if !history.stored(offset, &push.into()) {
                    // Redis has dropped what was not read in time.
                    history.fail();
                    return Ok(());
                }
            }
            if count < BATCH {
                break;
            }
        }
        Ok(())
    }

    /// Keeps the histories of connected clients alive.
    async fn refresh(&self, connection: &mut StoreConnection) -> Result<(), RedisError> {
        for histories in self.histories.followed().chunks(BATCH) {
            let mut refreshing = pipe();
            for history in histories {
                self.expire(&mut refreshing, &self.keys(history.epoch));
            }
            refreshing.exec_async(&mut connection.redis).await?;
        }
        Ok(())
    }

    fn expire(&self, commands: &mut Pipeline, keys: &[String]) {
        for key in keys {
            commands.pexpire(key, self.expiry()).ignore();
        }
    }

    /// How long the keys of a history live after the last refresh, in milliseconds.
    fn expiry(&self) -> i64 {
        let time = self.histories.time().saturating_add(EXPIRY_MARGIN);
        i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
    }

    /// The connection, once there is one.
    async fn connection(&self) -> StoreConnection {
        let mut connections = self.connection.subscribe();
        let connected = connections.wait_for(Option::is_some).await;
        let connection = connected.ok().and_then(|connection| connection.clone());
        match connection {
            Some(connection) => connection,
            // The sender is in `self`.
            None => std::future::pending().await,
        }
    }

    /// The hash and the stream of a history, and the set of this gateway's histories.
    fn keys(&self, epoch: u64) -> [String; 3] {
        let hash = self.hash(&epoch_text(epoch));
        let stream = format!("{hash}:pushes");
        [hash, stream, self.set()]
    }

    fn hash(&self, epoch: &str) -> String {
        format!("{}:history:{epoch}", self.prefix)
    }

    fn set(&self) -> String {
        format!("{}:histories:{}", self.prefix, self.name)
    }

    /// The channel of an instance, or what precedes the instance in its name.
    fn channel(&self, instance: &str) -> String {
        format!("{}:resume:{instance}", self.prefix)
    }
}

impl TakenHistory {
    fn new(taken: Option<(u64, String, String, Entries)>) -> Option<Self> {
        let (last, device, endpoint, entries) = taken?;
        let pushes = entries.into_iter().map(|(_, (_, push))| push.into());
        Some(Self {
            last,
            device,
            endpoint,
            pushes: pushes.collect(),
        })
    }
}

/// The name of the gateway in an instance.
fn name_of(instance: &str) -> &str {
    instance.rsplit_once(':').map_or(instance, |(name, _)| name)
}

fn epoch_text(epoch: u64) -> String {
    format!("{epoch:016x}")
}

/// The offset of an entry.
fn offset_of(id: &str) -> Option<u64> {
    id.split_once('-')?.0.parse().ok()
}

/// Another gateway has stored a push of a history, or has taken it over.
fn heard(push: PushInfo, histories: &Histories, queue: &StoreQueue) {
    if push.kind != PushKind::Message {
        return;
    }
    let text = push.data.into_iter().nth(1);
    let Some(text): Option<String> = text.and_then(|text| from_redis_value(text).ok()) else {
        return;
    };
    let epoch = text.trim_start_matches(MOVED);
    let history = u64::from_str_radix(epoch, 16).ok();
    let Some(history) = history.and_then(|epoch| histories.get(epoch)) else {
        return;
    };
    match text.starts_with(MOVED) {
        true => history.moved(),
        false => queue.read(&history),
    }
}

fn report(error: &RedisError) {
    static LIMIT: LogLimit = LogLimit::new();
    if LIMIT.allows("failures of Redis to keep pushes") {
        tracing::warn!("Redis does not keep pushes, retrying: {error}");
    }
}
