//! The records of tasks in Redis: one key a task, changed by compare and set.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use redis::{
    AsyncConnectionConfig, Client, IntoConnectionInfo, ProtocolVersion, PushKind, RedisError,
    aio::MultiplexedConnection, from_redis_value,
};
use tce_runtime::wire::{Marshal, Writer};
use tokio::{sync::Notify, time::timeout};
use uuid::Uuid;

use super::super::readers::Readers;
use crate::model::{Entry, Phase};

/// How long one operation may take, a new connection included: tasks must not wait for Redis.
const OPERATION_TIME: Duration = Duration::from_millis(250);
/// After a failure Redis counts as away for this time, and operations fail at once.
const AWAY_TIME: Duration = Duration::from_secs(1);
/// How long the entry of a task that has not ended is kept after its last change and after it was
/// due. It bounds what Redis keeps of tasks whose messages are lost.
const UNFINISHED_MS: i64 = 7 * 24 * 3_600_000;
/// Keys of one step of a scan, and records that are read at once.
const BATCH: usize = 500;

/// Writes a value if the present one is `ARGV[1]` (empty: none), and tells readers; else returns the
/// present one. If the task `ARGV[4]` holds the unique key `KEYS[2]`, it holds it for `ARGV[5]`
/// milliseconds from now.
const COMPARE_AND_SET: &str = "
local present = redis.call('GET', KEYS[1]) or ''
if present ~= ARGV[1] then return present end
if ARGV[3] == '0' then redis.call('SET', KEYS[1], ARGV[2])
else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
redis.call('PUBLISH', KEYS[1], '')
if KEYS[2] and redis.call('GET', KEYS[2]) == ARGV[4] then
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
end
return false
";
/// Returns the holder of a unique key unless it is `ARGV[1]`, which has it for `ARGV[2]` milliseconds
/// then.
const CLAIM: &str = "
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return holder end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false
";
/// Frees a unique key that `ARGV[1]` holds.
const RELEASE: &str = "
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
";

/// Why the records can't be used now.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the store of the results failed: {0}")]
pub struct RecordsError(Arc<str>);

impl From<RedisError> for RecordsError {
    fn from(error: RedisError) -> Self {
        Self(error.to_string().into())
    }
}

/// An entry, and its bytes as Redis has them.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) entry: Entry,
    bytes: Vec<u8>,
}

/// The records. Clones share the connection.
#[derive(Clone)]
pub(super) struct Records(Arc<Shared>);

struct Shared {
    client: Client,
    prefix: String,
    connection: tokio::sync::Mutex<Option<Connection>>,
    away: Mutex<Option<(Instant, RecordsError)>>,
    readers: Arc<Readers>,
}

#[derive(Clone)]
struct Connection {
    redis: MultiplexedConnection,
    compare_and_set: String,
}

impl fmt::Debug for Records {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("prefix", &self.0.prefix)
            .finish_non_exhaustive()
    }
}

/// How a change ended.
pub(super) enum Changed {
    Done(Stored),
    /// Another change came first: the present entry, if any.
    Conflict(Option<Stored>),
}

impl Records {
    pub(super) fn new(url: &str, prefix: &str) -> Result<Self, RecordsError> {
        let info = url.into_connection_info()?;
        // Changes of records arrive on the connection of the commands.
        let settings = info.redis_settings().clone();
        let settings = settings.set_protocol(ProtocolVersion::RESP3);
        Ok(Self(Arc::new(Shared {
            client: Client::open(info.set_redis_settings(settings))?,
            prefix: prefix.to_owned(),
            connection: tokio::sync::Mutex::new(None),
            away: Mutex::default(),
            readers: Arc::default(),
        })))
    }

    fn key(&self, id: u128) -> String {
        format!("{}task.{}", self.0.prefix, Uuid::from_u128(id))
    }

    fn unique_key(&self, key: &str) -> String {
        format!("{}unique.{key}", self.0.prefix)
    }

    /// Whether the last operation failed, less than a second ago.
    fn away(&self) -> Option<RecordsError> {
        let away = self.0.away.lock();
        let recent = away
            .as_ref()
            .filter(|(since, _)| since.elapsed() < AWAY_TIME);
        recent.map(|(_, error)| error.clone())
    }

    /// Runs an operation within [`OPERATION_TIME`].
    async fn run<T, F>(&self, operation: impl FnOnce(Connection) -> F) -> Result<T, RecordsError>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        if let Some(error) = self.away() {
            return Err(error);
        }
        let running = async {
            let connection = self.connection().await?;
            operation(connection).await
        };
        let result = match timeout(OPERATION_TIME, running).await {
            Ok(result) => result.map_err(RecordsError::from),
            Err(_) => Err(RecordsError("Redis did not answer in time".into())),
        };
        if let Err(error) = &result {
            *self.0.away.lock() = Some((Instant::now(), error.clone()));
            // An operation that holds the lock connects already.
            if let Ok(mut connection) = self.0.connection.try_lock() {
                *connection = None;
            }
        }
        result
    }

    async fn connection(&self) -> Result<Connection, RedisError> {
        let mut open = self.0.connection.lock().await;
        if let Some(connection) = &*open {
            return Ok(connection.clone());
        }
        let readers = Arc::clone(&self.0.readers);
        let prefix = format!("{}task.", self.0.prefix);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(OPERATION_TIME))
            .set_response_timeout(Some(OPERATION_TIME))
            .set_push_sender(move |push: redis::PushInfo| {
                if push.kind == PushKind::Message
                    && let Some(channel) = push.data.into_iter().next()
                    && let Ok(channel) = from_redis_value::<String>(channel)
                    && let Some(id) = channel.strip_prefix(&prefix)
                    && let Ok(id) = Uuid::try_parse(id)
                {
                    readers.notify(id.as_u128());
                }
                Ok::<_, redis::aio::SendError>(())
            });
        let connecting = self
            .0
            .client
            .get_multiplexed_async_connection_with_config(&config);
        let mut redis = connecting.await?;
        let mut loading = redis::cmd("SCRIPT");
        let loading = loading.arg("LOAD").arg(COMPARE_AND_SET);
        let compare_and_set = loading.query_async(&mut redis).await?;
        let connection = Connection {
            redis,
            compare_and_set,
        };
        Ok(open.insert(connection).clone())
    }

    /// The entry of an id.
    pub(super) async fn read(&self, id: u128) -> Result<Option<Stored>, RecordsError> {
        let key = self.key(id);
        let read = self.run(async |mut connection| {
            let mut reading = redis::cmd("GET");
            let reading = reading.arg(key);
            reading
                .query_async::<Option<Vec<u8>>>(&mut connection.redis)
                .await
        });
        Ok(read.await?.and_then(Stored::decode))
    }

    /// Writes an entry if `before` is still the present one.
    pub(super) async fn change(
        &self,
        id: u128,
        before: Option<&Stored>,
        entry: &Entry,
        now_ms: i64,
    ) -> Result<Changed, RecordsError> {
        let key = self.key(id);
        let expected = before.map_or(&[][..], |before| &before.bytes);
        let mut bytes = Vec::new();
        entry.marshal(&mut Writer::new(&mut bytes));
        let changed = self.run(async |mut connection| {
            let mut changing = redis::cmd("EVALSHA");
            changing.arg(&connection.compare_and_set);
            let claim = entry.claim();
            match claim {
                Some((unique, _)) => changing.arg(2).arg(key).arg(self.unique_key(unique)),
                None => changing.arg(1).arg(key),
            };
            changing
                .arg(expected)
                .arg(&bytes)
                .arg(expiry(entry, now_ms));
            if let Some((_, until_ms)) = claim {
                changing.arg(&entry.task.id).arg((until_ms - now_ms).max(0));
            }
            changing
                .query_async::<Option<Vec<u8>>>(&mut connection.redis)
                .await
        });
        Ok(match changed.await? {
            None => Changed::Done(Stored {
                entry: entry.clone(),
                bytes,
            }),
            Some(present) => Changed::Conflict(Stored::decode(present)),
        })
    }

    /// Gives the unique key of a new task to it, unless another task holds it. Returns the holder.
    pub(super) async fn claim(&self, entry: &Entry, now_ms: i64) -> Result<String, RecordsError> {
        let Some((unique, until_ms)) = entry.claim() else {
            return Ok(entry.task.id.clone());
        };
        let (key, id) = (self.unique_key(unique), &entry.task.id);
        let claimed = self.run(async |mut connection| {
            let mut claiming = redis::cmd("EVAL");
            claiming.arg(CLAIM).arg(1).arg(key).arg(id);
            claiming.arg((until_ms - now_ms).max(1));
            claiming
                .query_async::<Option<String>>(&mut connection.redis)
                .await
        });
        Ok(claimed.await?.unwrap_or_else(|| id.clone()))
    }

    /// Frees the unique key of a task that was not sent.
    pub(super) async fn release(&self, entry: &Entry) -> Result<(), RecordsError> {
        let Some((unique, _)) = entry.claim() else {
            return Ok(());
        };
        let (key, id) = (self.unique_key(unique), &entry.task.id);
        self.run(async |mut connection| {
            let mut releasing = redis::cmd("EVAL");
            releasing.arg(RELEASE).arg(1).arg(key).arg(id);
            releasing.exec_async(&mut connection.redis).await
        })
        .await
    }

    pub(super) async fn remove(&self, id: u128) -> Result<(), RecordsError> {
        let key = self.key(id);
        self.run(async |mut connection| {
            let mut removing = redis::cmd("DEL");
            removing.arg(key).exec_async(&mut connection.redis).await
        })
        .await
    }

    /// A notification of the changes of one record, while the returned guard lives.
    pub(super) async fn watch(&self, id: u128) -> Result<Watch, RecordsError> {
        let watch = Watch {
            changed: self.0.readers.watch(id),
            key: self.key(id),
            records: self.clone(),
        };
        let key = &watch.key;
        self.run(async |mut connection| connection.redis.subscribe(key).await)
            .await?;
        Ok(watch)
    }

    /// The ids of all entries in their order.
    pub(super) async fn ids(&self) -> Result<Vec<u128>, RecordsError> {
        let prefix = format!("{}task.", self.0.prefix);
        let (mut ids, mut cursor) = (Vec::new(), 0_u64);
        loop {
            let pattern = format!("{prefix}*");
            let scanned = self.run(async |mut connection| {
                let mut scanning = redis::cmd("SCAN");
                scanning.arg(cursor).arg("MATCH").arg(pattern);
                scanning.arg("COUNT").arg(BATCH);
                scanning
                    .query_async::<(u64, Vec<String>)>(&mut connection.redis)
                    .await
            });
            let (next, keys) = scanned.await?;
            let keys = keys.iter().filter_map(|key| key.strip_prefix(&prefix));
            ids.extend(keys.filter_map(|id| Some(Uuid::try_parse(id).ok()?.as_u128())));
            if next == 0 {
                break;
            }
            cursor = next;
        }
        ids.sort_unstable();
        // A scan may return a key twice.
        ids.dedup();
        Ok(ids)
    }

    /// The entries of ids, in batches; `visit` returns whether it wants more.
    pub(super) async fn visit(
        &self,
        ids: &[u128],
        mut visit: impl FnMut(Entry) -> bool,
    ) -> Result<(), RecordsError> {
        for ids in ids.chunks(BATCH) {
            let keys: Vec<_> = ids.iter().map(|id| self.key(*id)).collect();
            let read = self.run(async |mut connection| {
                let mut reading = redis::cmd("MGET");
                let reading = reading.arg(&keys);
                reading
                    .query_async::<Vec<Option<Vec<u8>>>>(&mut connection.redis)
                    .await
            });
            let entries = read.await?.into_iter().flatten().filter_map(Stored::decode);
            for stored in entries {
                if !visit(stored.entry) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

impl Stored {
    /// `None` without bytes, and if they are no entry of this version: it is written anew then.
    fn decode(bytes: Vec<u8>) -> Option<Self> {
        Some(Self {
            entry: Entry::decode(&bytes)?,
            bytes,
        })
    }
}

/// After how many milliseconds Redis removes an entry; 0: never.
fn expiry(entry: &Entry, now_ms: i64) -> i64 {
    match entry.phase {
        Phase::Ended { until_ms: i64::MAX } => 0,
        Phase::Ended { until_ms } => (until_ms - now_ms).max(1),
        Phase::Queued { due_ms, .. } => {
            let left = due_ms.saturating_sub(now_ms).max(0);
            left.saturating_add(UNFINISHED_MS)
        }
        Phase::Leased { .. } | Phase::Dead => UNFINISHED_MS,
    }
}

/// Waits for changes of one record.
pub(super) struct Watch {
    pub(super) changed: Arc<Notify>,
    key: String,
    records: Records,
}

impl Drop for Watch {
    /// Other readers of this process may watch the same record.
    fn drop(&mut self) {
        if Arc::strong_count(&self.changed) > 1 {
            return;
        }
        let (key, records) = (std::mem::take(&mut self.key), self.records.clone());
        tokio::spawn(async move {
            let ended = records.run(async |mut it| it.redis.unsubscribe(key).await);
            // The subscription also ends with the connection.
            let _ = ended.await;
        });
    }
}
