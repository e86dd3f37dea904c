//! The pushes of a session, kept so that its client misses none when its connection is
//! lost (`spec/sessions.md`, section Resume).
//!
//! Each push of a session that asked for it gets an offset in the history, under whose
//! lock it is sent, too: what arrives by unicast and by broadcast, on whatever thread, has
//! one order, and a resumed session gets what it missed before anything new.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    future::Future,
    hash::{BuildHasher, RandomState},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tce_runtime::forwarding::ForwardError;
use tokio::{sync::mpsc, time::sleep};

use crate::{config::Properties, routing::EndpointKey};

/// What a kept push takes beside its bytes: its place in the queue, and the header of
/// its allocation.
const PUSH_OVERHEAD: usize = 64;
/// What a history takes without a push, with its places in the tables.
const HISTORY_OVERHEAD: usize = 512;
/// The most commands that wait for Redis.
const STORE_COMMANDS: usize = 1 << 16;
/// The pause before a push that found no capacity is tried again: the write buffer may
/// have capacity where the memory budget has none.
const RETRY_PAUSE: Duration = Duration::from_millis(5);
/// How long a client that has come back at another gateway counts as away here: that
/// gateway announces it meanwhile, so that the user can be reached all the time.
const MOVE_TIME: Duration = Duration::from_secs(2);

/// A push as it is kept: a whole message, without what its receiver must not see.
/// Sessions that receive the same push share it.
pub(super) type KeptPush = Arc<[u8]>;

/// `__push_id__` of a push: in Redis a history keeps it once, however many gateways it
/// arrives at.
pub(super) type PushId = u64;

/// The `__push_id__` of an extra; `None` if the text is not valid.
pub(super) fn push_id(text: &str) -> Option<PushId> {
    PushId::from_str_radix(text, 16).ok()
}

/// The session that receives the pushes of a history now.
pub(super) trait PushReceiver: Send + Sync {
    /// The number of the session.
    fn number(&self) -> u64;

    /// Sends a push, which the client gets after all that were sent before.
    fn send_push(&self, push: &KeptPush, epoch: u64, offset: u64) -> Result<(), ForwardError>;

    /// Waits until another push can be sent, or the connection has ended.
    fn capacity(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// The session no longer receives the pushes of the history.
    fn detached(&self, reason: DetachReason);
}

/// Why a session no longer receives the pushes of its history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DetachReason {
    /// The client reads so slowly that pushes were dropped before they could be sent.
    SlowReader,
    /// The client has come back at another gateway.
    Moved,
    /// Redis has lost the history, or has not answered for too long.
    StoreFailed,
}

/// Where the client of a session stands when it has logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resumption {
    pub(super) epoch: u64,
    /// The pushes after this one follow.
    pub(super) offset: u64,
    /// Whether the client gets all pushes after the last one that it has handled.
    pub(super) is_recovered: bool,
}

/// The last push that a client has handled: the value of `__resume__`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ResumePoint {
    pub(super) epoch: u64,
    pub(super) offset: u64,
}

impl ResumePoint {
    /// `None` for an empty text, of a client that has no history yet, and for one that
    /// makes no sense.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (epoch, offset) = text.split_once(':')?;
        Some(Self {
            epoch: u64::from_str_radix(epoch, 16).ok()?,
            offset: offset.parse().ok()?,
        })
    }
}

/// All histories of a gateway, and their limits.
#[derive(Debug)]
pub(crate) struct Histories {
    limits: Arc<HistoryLimits>,
    by_epoch: Mutex<HashMap<u64, Arc<History>>>,
    /// Make epochs that differ from those of other gateways and other runs.
    random: RandomState,
    opened: AtomicU64,
    /// Where Redis keeps the pushes; `None` if they are kept here.
    store: Option<Arc<StoreQueue>>,
}

/// What Redis is to do, in the order of the commands.
pub(super) enum StoreCommand {
    /// Store a push, and tell the history its offset.
    Push(Arc<History>, KeptPush, Option<PushId>),
    /// Read the pushes that another gateway has stored.
    Read(Arc<History>),
    /// The client's connection is lost.
    Release(u64),
    /// The history has ended, unless another gateway has taken it over.
    Remove(u64),
}

/// The commands that wait for Redis.
#[derive(Debug)]
pub(super) struct StoreQueue {
    commands: mpsc::Sender<StoreCommand>,
    /// The bytes of the pushes that wait.
    waiting: AtomicUsize,
    limit: usize,
}

impl StoreQueue {
    /// `limit` is the maximum number of bytes that wait.
    fn new(limit: usize) -> (Arc<Self>, mpsc::Receiver<StoreCommand>) {
        let (commands, receiver) = mpsc::channel(STORE_COMMANDS);
        let queue = Self {
            commands,
            waiting: AtomicUsize::new(0),
            limit,
        };
        (Arc::new(queue), receiver)
    }

    /// Returns false if Redis has not answered for so long that too much waits.
    fn push(&self, history: &Arc<History>, push: &KeptPush, id: Option<PushId>) -> bool {
        let size = push.len() + PUSH_OVERHEAD;
        let is_within = self.waiting.fetch_add(size, Ordering::Relaxed) + size <= self.limit;
        let command = StoreCommand::Push(Arc::clone(history), Arc::clone(push), id);
        let is_sent = is_within && self.commands.try_send(command).is_ok();
        if !is_sent {
            self.waiting.fetch_sub(size, Ordering::Relaxed);
        }
        is_sent
    }

    /// Another gateway has stored pushes of a history. Its client has to log in anew if too
    /// much waits for Redis.
    pub(super) fn read(&self, history: &Arc<History>) {
        let command = StoreCommand::Read(Arc::clone(history));
        if self.commands.try_send(command).is_err() {
            history.fail();
        }
    }

    /// A history waits for its client, or has ended. If too much waits for Redis, it
    /// forgets the history after its time.
    fn release(&self, command: StoreCommand) {
        let _ = self.commands.try_send(command);
    }

    /// A push is stored.
    pub(super) fn done(&self, push: &KeptPush) {
        let size = push.len() + PUSH_OVERHEAD;
        self.waiting.fetch_sub(size, Ordering::Relaxed);
    }

    /// Whether no push waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0
    }
}

#[derive(Debug)]
pub(super) struct HistoryLimits {
    /// How long a history outlives the connection of its session.
    time: Duration,
    /// The bytes that one history keeps.
    bytes: usize,
    /// The bytes that all histories keep.
    memory: usize,
    /// The bytes that all histories keep now.
    used: AtomicUsize,
}

impl HistoryLimits {
    fn is_exceeded(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.memory
    }
}

impl Histories {
    /// `None` if the gateway keeps no pushes.
    pub(super) fn new(properties: &Properties) -> Option<Self> {
        let limits = HistoryLimits {
            time: properties.resume_time?,
            bytes: properties.resume_bytes,
            memory: properties.resume_memory,
            used: AtomicUsize::new(0),
        };
        Some(Self {
            limits: Arc::new(limits),
            by_epoch: Mutex::default(),
            random: RandomState::new(),
            opened: AtomicU64::new(0),
            store: None,
        })
    }

    /// Keeps the pushes in Redis. Returns what it is to do.
    pub(super) fn use_store(&mut self) -> (Arc<StoreQueue>, mpsc::Receiver<StoreCommand>) {
        let (queue, commands) = StoreQueue::new(self.limits.memory);
        self.store = Some(Arc::clone(&queue));
        (queue, commands)
    }

    /// How long a history outlives the connection of its session.
    pub(super) fn time(&self) -> Duration {
        self.limits.time
    }

    /// The bytes that one history keeps.
    pub(super) fn bytes_of_one(&self) -> usize {
        self.limits.bytes
    }

    /// An epoch of a new history.
    pub(super) fn new_epoch(&self) -> u64 {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        self.random.hash_one(number)
    }

    pub(super) fn get(&self, epoch: u64) -> Option<Arc<History>> {
        self.by_epoch.lock().get(&epoch).cloned()
    }

    /// The histories whose pushes are followed here.
    pub(super) fn followed(&self) -> Vec<Arc<History>> {
        let by_epoch = self.by_epoch.lock();
        let histories = by_epoch.values();
        let is_followed = |history: &&Arc<History>| history.state.lock().is_followed;
        histories.filter(is_followed).cloned().collect()
    }

    /// A new history for a session; `None` if the memory for histories is used up.
    pub(super) fn open(
        &self,
        user: &Arc<str>,
        device: Option<&str>,
        endpoint: EndpointKey,
    ) -> Option<Arc<History>> {
        let limits = &self.limits;
        let has_memory = || limits.used.load(Ordering::Relaxed) + HISTORY_OVERHEAD <= limits.memory;
        if !has_memory() {
            self.balance();
        }
        if !has_memory() {
            return None;
        }
        Some(self.add(self.new_epoch(), user, device, endpoint))
    }

    /// Adds a history, unless it is known.
    pub(super) fn add(
        &self,
        epoch: u64,
        user: &Arc<str>,
        device: Option<&str>,
        endpoint: EndpointKey,
    ) -> Arc<History> {
        let mut by_epoch = self.by_epoch.lock();
        let history = by_epoch.entry(epoch).or_insert_with(|| {
            let limits = Arc::clone(&self.limits);
            limits.used.fetch_add(HISTORY_OVERHEAD, Ordering::Relaxed);
            Arc::new(History {
                epoch,
                user: Arc::clone(user),
                device: device.map(Into::into),
                endpoint,
                limits,
                store: self.store.clone(),
                state: Mutex::new(HistoryState {
                    bytes: HISTORY_OVERHEAD,
                    ..HistoryState::default()
                }),
            })
        });
        Arc::clone(history)
    }

    /// Ends a history: a client that asks for it gets a new one.
    pub(super) fn close(&self, history: &History) {
        history.close();
        self.by_epoch.lock().remove(&history.epoch);
    }

    /// The histories of clients of an endpoint.
    pub(super) fn of_endpoint(&self, endpoint: EndpointKey) -> Vec<Arc<History>> {
        let by_epoch = self.by_epoch.lock();
        let histories = by_epoch.values();
        histories
            .filter(|history| history.endpoint == endpoint)
            .cloned()
            .collect()
    }

    /// Those that have ended, and those whose clients have not come back in time.
    pub(super) fn expired(&self, now: Instant) -> Vec<Arc<History>> {
        let time = self.limits.time;
        let is_expired = |history: &History| {
            let state = history.state.lock();
            let detached_at = state.detached_at;
            let is_late = |at| now.saturating_duration_since(at) > time;
            state.is_closed || detached_at.is_some_and(is_late)
        };
        let by_epoch = self.by_epoch.lock();
        let histories = by_epoch.values();
        histories
            .filter(|history| is_expired(history))
            .cloned()
            .collect()
    }

    /// The clients of these histories have come back at other gateways, which have
    /// announced them by now: from here on they are no longer waited for.
    pub(super) fn settle_moved(&self, now: Instant) -> Vec<Arc<History>> {
        let settles = |history: &&Arc<History>| {
            let mut state = history.state.lock();
            let Place::Moving(at) = state.place else {
                return false;
            };
            let has_settled = now.saturating_duration_since(at) > MOVE_TIME;
            if has_settled {
                state.place = Place::Elsewhere;
            }
            has_settled
        };
        let by_epoch = self.by_epoch.lock();
        by_epoch.values().filter(settles).cloned().collect()
    }

    /// Where three quarters of the memory are used, trims the histories that have more
    /// than an equal part of it, so that silent sessions leave some to the others.
    pub(super) fn balance(&self) {
        let limits = &self.limits;
        let high = limits.memory - limits.memory / 4;
        if limits.used.load(Ordering::Relaxed) <= high {
            return;
        }
        let histories: Vec<_> = self.by_epoch.lock().values().cloned().collect();
        let part = high / histories.len().max(1);
        for history in histories {
            history.change(|state| state.trim(limits, |state| state.bytes > part));
        }
    }

    /// The number of histories.
    pub(crate) fn count(&self) -> usize {
        self.by_epoch.lock().len()
    }

    /// The bytes that all histories keep.
    pub(crate) fn bytes(&self) -> usize {
        self.limits.used.load(Ordering::Relaxed)
    }
}

/// The pushes of one session after another of the same client.
pub(crate) struct History {
    /// Random: a client names it to resume, and offsets are its own.
    pub(super) epoch: u64,
    pub(super) user: Arc<str>,
    device: Option<Arc<str>>,
    pub(super) endpoint: EndpointKey,
    limits: Arc<HistoryLimits>,
    /// Where Redis keeps the pushes; here are then only those that were not sent yet.
    store: Option<Arc<StoreQueue>>,
    state: Mutex<HistoryState>,
}

#[derive(Default)]
struct HistoryState {
    /// The pushes with the offsets up to `last`, without gaps.
    kept: VecDeque<KeptPush>,
    /// The offset of the last push, kept or not.
    last: u64,
    /// What the history takes, of `HistoryLimits::used`.
    bytes: usize,
    receiver: Option<AttachedReceiver>,
    /// The last session that has ended.
    ended_session: u64,
    /// Since when there is no receiver.
    detached_at: Option<Instant>,
    is_closed: bool,
    /// Whether `last` is that of Redis, and its further pushes are added here.
    is_followed: bool,
    place: Place,
}

/// Where the client of a history is, or is expected.
#[derive(Debug, Clone, Copy, Default)]
enum Place {
    #[default]
    Here,
    /// At another gateway, since this time.
    Moving(Instant),
    /// At another gateway, which has announced it.
    Elsewhere,
}

struct AttachedReceiver {
    session: Arc<dyn PushReceiver>,
    /// The offset of the last push that was sent.
    sent: u64,
    /// Whether a task waits for capacity.
    is_waiting: bool,
}

impl History {
    /// Keeps a push, and sends it to the attached session. Returns false if the history
    /// has ended.
    pub(super) fn push(self: &Arc<Self>, push: &KeptPush, id: Option<PushId>) -> bool {
        let Some(store) = &self.store else {
            return self.change(|state| !state.is_closed && self.add(state, push));
        };
        if self.state.lock().is_closed {
            return false;
        }
        let is_stored = store.push(self, push, id);
        if !is_stored {
            self.fail();
        }
        is_stored
    }

    /// Keeps a push with the next offset, and sends it.
    fn add(self: &Arc<Self>, state: &mut HistoryState, push: &KeptPush) -> bool {
        let limits = &self.limits;
        state.keep(push, limits);
        self.send_kept(state);
        if self.store.is_some() {
            state.forget_sent(limits);
        }
        // After it was sent: a push that is too large to be kept still arrives.
        state.trim(limits, |state| {
            state.bytes > limits.bytes || limits.is_exceeded()
        });
        true
    }

    /// Redis has stored a push. Returns false if pushes before it have to be read.
    pub(super) fn stored(self: &Arc<Self>, offset: u64, push: &KeptPush) -> bool {
        self.change(|state| match offset.checked_sub(state.last) {
            // Read before, or not of interest until the client comes back.
            _ if !state.is_followed => true,
            None | Some(0) => true,
            Some(1) => self.add(state, push),
            Some(_) => false,
        })
    }

    /// The offset of the last push that is known here; `None` if the history is not
    /// followed.
    pub(super) fn followed_to(&self) -> Option<u64> {
        let state = self.state.lock();
        state.is_followed.then_some(state.last)
    }

    /// Follows the pushes in Redis from now on, where the last one is `last` and `pushes`
    /// precede it.
    pub(super) fn follow(&self, last: u64, pushes: &[KeptPush]) {
        let mut state = self.state.lock();
        state.trim(&self.limits, |_| true);
        state.last = last - pushes.len() as u64;
        for push in pushes {
            state.keep(push, &self.limits);
        }
        state.is_followed = true;
        state.place = Place::Here;
    }

    /// The client has come back at another gateway, which sends the pushes from now on.
    pub(super) fn moved(&self) {
        self.state.lock().place = Place::Moving(Instant::now());
        self.lose_receiver(DetachReason::Moved, false);
    }

    /// Redis has lost the history, or has not answered for too long: the client is to log
    /// in anew, and learns that something may be missing.
    pub(super) fn fail(&self) {
        self.lose_receiver(DetachReason::StoreFailed, true);
    }

    fn lose_receiver(&self, reason: DetachReason, is_closed: bool) {
        let mut state = self.state.lock();
        state.is_closed |= is_closed;
        state.is_followed = false;
        state.trim(&self.limits, |_| true);
        let session = state.take_receiver();
        drop(state);
        if let Some(session) = session {
            session.detached(reason);
        }
    }

    /// Changes the state. Ends the attached session if pushes were dropped that it was to
    /// get.
    fn change<T>(&self, change: impl FnOnce(&mut HistoryState) -> T) -> T {
        let mut state = self.state.lock();
        let result = change(&mut state);
        let overrun = state.take_overrun();
        drop(state);
        if let Some(session) = overrun {
            session.detached(DetachReason::SlowReader);
        }
        result
    }

    /// How long the history waits for its client; `None` if it does not, and pushes reach
    /// the client elsewhere.
    pub(super) fn waits_for(&self) -> Option<Duration> {
        let state = self.state.lock();
        let is_expected = !state.is_closed && !matches!(state.place, Place::Elsewhere);
        let detached_at = state.detached_at.filter(|_| is_expected)?;
        Some(detached_at.elapsed())
    }

    /// Whether the history has ended, or is incomplete.
    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }

    pub(super) fn device(&self) -> Option<&str> {
        self.device.as_deref()
    }

    pub(super) fn is_of_device(&self, device: &str) -> bool {
        self.device.as_deref() == Some(device)
    }

    /// Whether there was a push with this offset.
    pub(super) fn has_reached(&self, offset: u64) -> bool {
        self.state.lock().last >= offset
    }

    /// Attaches a session, whose client has handled the pushes up to `handled`; `None` if
    /// the history is new to it. `answer` tells the client where it stands, before it gets
    /// what is kept beyond that.
    pub(super) fn attach(
        self: &Arc<Self>,
        session: Arc<dyn PushReceiver>,
        handled: Option<u64>,
        answer: impl FnOnce(Resumption),
    ) {
        let mut state = self.state.lock();
        let before_kept = state.before_kept();
        let resumption = Resumption {
            epoch: self.epoch,
            offset: handled.unwrap_or(before_kept).max(before_kept),
            is_recovered: handled.is_some_and(|offset| offset >= before_kept),
        };
        answer(resumption);
        // A later session may have taken the history over before, or this one has ended.
        if !state.is_closed && session.number() > state.newest_session() {
            state.receiver = Some(AttachedReceiver {
                session,
                sent: resumption.offset,
                is_waiting: false,
            });
            state.detached_at = None;
            self.send_kept(&mut state);
            if self.store.is_some() {
                state.forget_sent(&self.limits);
            }
        }
    }

    /// The connection of a session has ended, which may not be attached yet. Does nothing
    /// to a later one. Returns whether the history waits for its client.
    pub(super) fn detach(&self, session: u64) -> bool {
        let mut state = self.state.lock();
        state.ended_session = state.ended_session.max(session);
        if state.newest_session() == session {
            state.receiver = None;
            state.detached_at = Some(Instant::now());
            if let Some(store) = &self.store {
                state.is_followed = false;
                state.trim(&self.limits, |_| true);
                store.release(StoreCommand::Release(self.epoch));
            }
        }
        !state.is_closed
    }

    fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        state.is_followed = false;
        state.receiver = None;
        state.trim(&self.limits, |_| true);
        if let Some(store) = &self.store {
            store.release(StoreCommand::Remove(self.epoch));
        }
    }

    /// Sends what is kept and not sent yet, as far as there is capacity; a task sends the
    /// rest.
    fn send_kept(self: &Arc<Self>, state: &mut HistoryState) {
        let (last, before_kept) = (state.last, state.before_kept());
        let Some(receiver) = &mut state.receiver else {
            return;
        };
        if receiver.is_waiting {
            return;
        }
        while receiver.sent < last {
            let position = receiver.sent.checked_sub(before_kept);
            let push =
                position.and_then(|position| state.kept.get(usize::try_from(position).ok()?));
            let Some(push) = push else {
                // Trimmed: `History::change` ends the session.
                return;
            };
            let sent = receiver
                .session
                .send_push(push, self.epoch, receiver.sent + 1);
            match sent {
                Ok(()) | Err(ForwardError::TooLarge) => receiver.sent += 1,
                Err(ForwardError::Full | ForwardError::NoMemory) => {
                    receiver.is_waiting = true;
                    let session = Arc::clone(&receiver.session);
                    tokio::spawn(send_later(Arc::clone(self), session));
                    return;
                }
                // What is kept waits for the client's next connection.
                Err(_) => return,
            }
        }
    }
}

/// Goes on sending when the connection of the attached session has capacity.
async fn send_later(history: Arc<History>, session: Arc<dyn PushReceiver>) {
    session.capacity().await;
    sleep(RETRY_PAUSE).await;
    history.change(|state| {
        if let Some(receiver) = &mut state.receiver
            && receiver.session.number() == session.number()
        {
            receiver.is_waiting = false;
            history.send_kept(state);
            if history.store.is_some() {
                state.forget_sent(&history.limits);
            }
        }
    });
}

impl HistoryState {
    /// The offset of the push before the first one that is kept.
    fn before_kept(&self) -> u64 {
        self.last - self.kept.len() as u64
    }

    /// The number of the last session that was attached or has ended; numbers grow.
    fn newest_session(&self) -> u64 {
        let attached = self.receiver.as_ref().map(|it| it.session.number());
        attached.unwrap_or(0).max(self.ended_session)
    }

    fn keep(&mut self, push: &KeptPush, limits: &HistoryLimits) {
        let size = push.len() + PUSH_OVERHEAD;
        self.last += 1;
        self.bytes += size;
        limits.used.fetch_add(size, Ordering::Relaxed);
        self.kept.push_back(Arc::clone(push));
    }

    /// Drops the oldest pushes while `is_exceeded`.
    fn trim(&mut self, limits: &HistoryLimits, is_exceeded: impl Fn(&Self) -> bool) {
        while is_exceeded(self)
            && let Some(push) = self.kept.pop_front()
        {
            let size = push.len() + PUSH_OVERHEAD;
            self.bytes -= size;
            limits.used.fetch_sub(size, Ordering::Relaxed);
        }
        if self.kept.capacity() > 4 * self.kept.len().max(8) {
            self.kept.shrink_to(2 * self.kept.len());
        }
    }

    /// Detaches a session of which pushes were dropped unsent.
    fn take_overrun(&mut self) -> Option<Arc<dyn PushReceiver>> {
        let sent = self.receiver.as_ref()?.sent;
        if sent >= self.before_kept() {
            return None;
        }
        self.take_receiver()
    }

    /// Drops the pushes that were sent.
    fn forget_sent(&mut self, limits: &HistoryLimits) {
        let sent = self.receiver.as_ref().map_or(0, |receiver| receiver.sent);
        self.trim(limits, |state| state.before_kept() < sent);
    }

    fn take_receiver(&mut self) -> Option<Arc<dyn PushReceiver>> {
        self.detached_at = Some(Instant::now());
        let session = self.receiver.take()?.session;
        self.ended_session = self.ended_session.max(session.number());
        Some(session)
    }
}

impl Drop for History {
    fn drop(&mut self) {
        let bytes = self.state.get_mut().bytes;
        self.limits.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History")
            .field("epoch", &self.epoch)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
