use std::sync::atomic::AtomicBool;

use super::*;
use crate::routing::EndpointKeys;

/// A session that notes what it is sent.
struct Recorder {
    number: u64,
    sent: Mutex<Vec<(u64, String)>>,
    /// How many further pushes have capacity.
    capacity: AtomicUsize,
    is_connected: AtomicBool,
    was_overrun: AtomicBool,
    detached: Mutex<Option<DetachReason>>,
}

impl Recorder {
    fn new(number: u64) -> Arc<Self> {
        Arc::new(Self {
            number,
            sent: Mutex::default(),
            capacity: AtomicUsize::new(usize::MAX),
            is_connected: AtomicBool::new(true),
            was_overrun: AtomicBool::new(false),
            detached: Mutex::default(),
        })
    }

    fn texts(&self) -> Vec<String> {
        let sent = self.sent.lock();
        sent.iter().map(|(_, text)| text.clone()).collect()
    }

    fn offsets(&self) -> Vec<u64> {
        self.sent.lock().iter().map(|(offset, _)| *offset).collect()
    }
}

impl PushReceiver for Recorder {
    fn number(&self) -> u64 {
        self.number
    }

    fn send_push(&self, push: &KeptPush, _epoch: u64, offset: u64) -> Result<(), ForwardError> {
        if !self.is_connected.load(Ordering::Relaxed) {
            return Err(ForwardError::Disconnected);
        }
        let capacity = self.capacity.load(Ordering::Relaxed);
        if capacity == 0 {
            return Err(ForwardError::Full);
        }
        self.capacity.store(capacity - 1, Ordering::Relaxed);
        let text = String::from_utf8(push.to_vec()).unwrap();
        self.sent.lock().push((offset, text));
        Ok(())
    }

    fn capacity(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            while self.capacity.load(Ordering::Relaxed) == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        })
    }

    fn detached(&self, reason: DetachReason) {
        let is_overrun = reason == DetachReason::SlowReader;
        self.was_overrun.store(is_overrun, Ordering::Relaxed);
        *self.detached.lock() = Some(reason);
    }
}

fn endpoint() -> EndpointKey {
    EndpointKeys::default().key("gw_socket")
}

fn histories(bytes: usize, memory: usize) -> Histories {
    let properties = Properties {
        resume_time: Some(Duration::from_secs(60)),
        resume_bytes: bytes,
        resume_memory: memory,
        ..Properties::default()
    };
    Histories::new(&properties).unwrap()
}

fn open(histories: &Histories, user: &str) -> Arc<History> {
    let history = histories.open(&user.into(), None, endpoint());
    history.unwrap()
}

fn push(history: &Arc<History>, text: &str) {
    assert!(history.push(&text.as_bytes().into(), None));
}

fn attach(history: &Arc<History>, session: &Arc<Recorder>, handled: Option<u64>) -> Resumption {
    let mut told = None;
    let receiver = Arc::clone(session) as Arc<dyn PushReceiver>;
    history.attach(receiver, handled, |resumption| {
        assert!(session.offsets().is_empty(), "the answer comes first");
        told = Some(resumption);
    });
    told.unwrap()
}

const LARGE: usize = 1 << 20;

#[test]
fn a_session_gets_pushes_as_they_come_and_after_a_resume_what_it_missed() {
    let histories = histories(LARGE, LARGE);
    let history = open(&histories, "anna");
    let first = Recorder::new(1);
    let told = attach(&history, &first, None);
    assert_eq!((told.offset, told.is_recovered), (0, false));
    push(&history, "a");
    push(&history, "b");
    assert_eq!(first.offsets(), [1, 2]);
    first.is_connected.store(false, Ordering::Relaxed);
    push(&history, "c");
    history.detach(1);
    push(&history, "d");
    let second = Recorder::new(2);
    let told = attach(&history, &second, Some(1));
    assert_eq!((told.offset, told.is_recovered), (1, true));
    push(&history, "e");
    assert_eq!(second.texts(), ["b", "c", "d", "e"]);
    assert_eq!(second.offsets(), [2, 3, 4, 5]);
    // The end of the first connection is noticed late.
    history.detach(1);
    push(&history, "f");
    assert_eq!(second.offsets().last(), Some(&6));
}

#[test]
fn a_session_that_ends_before_it_is_attached_is_not_attached() {
    let histories = histories(LARGE, LARGE);
    let history = open(&histories, "anna");
    history.detach(1);
    let first = Recorder::new(1);
    attach(&history, &first, None);
    push(&history, "a");
    assert!(first.offsets().is_empty());
    let late = Instant::now() + Duration::from_secs(61);
    assert_eq!(histories.expired(late).len(), 1);
}

#[test]
fn a_session_that_was_replaced_before_it_is_attached_takes_nothing() {
    let histories = histories(LARGE, LARGE);
    let history = open(&histories, "anna");
    let (slow, newer) = (Recorder::new(1), Recorder::new(2));
    attach(&history, &newer, Some(0));
    attach(&history, &slow, Some(0));
    push(&history, "a");
    assert!(slow.offsets().is_empty());
    assert_eq!(newer.offsets(), [1]);
}

#[test]
fn a_client_that_has_seen_no_push_misses_none() {
    let histories = histories(LARGE, LARGE);
    let history = open(&histories, "anna");
    // Between the login and its answer.
    push(&history, "a");
    let first = Recorder::new(1);
    assert_eq!(attach(&history, &first, None).offset, 0);
    assert_eq!(first.texts(), ["a"]);
    history.detach(1);
    push(&history, "b");
    let second = Recorder::new(2);
    let told = attach(&history, &second, Some(0));
    assert!(told.is_recovered);
    assert_eq!(second.texts(), ["a", "b"]);
}

#[test]
fn a_trimmed_history_says_that_something_is_missing() {
    let size = PUSH_OVERHEAD + 10;
    let histories = histories(HISTORY_OVERHEAD + 3 * size, LARGE);
    let history = open(&histories, "anna");
    for number in 0..5 {
        push(&history, &format!("{number:>10}"));
    }
    assert_eq!(histories.bytes(), HISTORY_OVERHEAD + 3 * size);
    let exact = Recorder::new(1);
    let told = attach(&history, &exact, Some(2));
    assert_eq!((told.offset, told.is_recovered), (2, true));
    assert_eq!(exact.offsets(), [3, 4, 5]);
    let late = Recorder::new(2);
    let told = attach(&history, &late, Some(1));
    assert_eq!((told.offset, told.is_recovered), (2, false));
    assert_eq!(late.offsets(), [3, 4, 5], "what is left still arrives");
    assert!(!history.has_reached(6));
}

#[test]
fn a_push_that_is_too_large_to_be_kept_reaches_a_connected_session() {
    let histories = histories(HISTORY_OVERHEAD + 100, LARGE);
    let history = open(&histories, "anna");
    let session = Recorder::new(1);
    attach(&history, &session, None);
    push(&history, &"x".repeat(1000));
    assert_eq!(session.offsets(), [1]);
    assert!(!session.was_overrun.load(Ordering::Relaxed));
    assert_eq!(histories.bytes(), HISTORY_OVERHEAD);
}

#[test]
fn the_memory_of_all_is_bounded_and_silent_sessions_leave_some() {
    let size = PUSH_OVERHEAD + 1000;
    let memory = 100 * size;
    let histories = histories(LARGE, memory);
    let mut all = Vec::new();
    for number in 0..10 {
        let history = open(&histories, &format!("user{number}"));
        for _ in 0..30 {
            push(&history, &"x".repeat(1000));
            assert!(histories.bytes() <= memory);
        }
        all.push(history);
    }
    histories.balance();
    assert!(histories.bytes() <= memory - memory / 4);
    let (early, late) = (Recorder::new(1), Recorder::new(2));
    push(&all[9], "y");
    assert!(attach(&all[9], &late, Some(30)).is_recovered);
    assert!(!attach(&all[0], &early, Some(0)).is_recovered);
    for history in &all {
        histories.close(history);
    }
    drop(all);
    assert_eq!((histories.bytes(), histories.count()), (0, 0));
}

#[test]
fn no_history_is_opened_without_memory() {
    let histories = histories(LARGE, 2 * HISTORY_OVERHEAD);
    let _two = (open(&histories, "anna"), open(&histories, "ben"));
    let third = histories.open(&"carl".into(), None, endpoint());
    assert!(third.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_everything_in_order_while_it_is_kept() {
    let histories = histories(LARGE, LARGE);
    let history = open(&histories, "anna");
    let session = Recorder::new(1);
    session.capacity.store(1, Ordering::Relaxed);
    attach(&history, &session, None);
    for text in ["a", "b", "c"] {
        push(&history, text);
    }
    assert_eq!(session.offsets(), [1]);
    session.capacity.store(usize::MAX, Ordering::Relaxed);
    // It waits its turn, although there is capacity now.
    push(&history, "d");
    assert_eq!(session.offsets(), [1]);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(session.texts(), ["a", "b", "c", "d"]);
    push(&history, "e");
    assert_eq!(session.offsets(), [1, 2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_when_pushes_are_dropped_that_it_was_to_get() {
    let histories = histories(HISTORY_OVERHEAD + 3 * (PUSH_OVERHEAD + 1), LARGE);
    let history = open(&histories, "anna");
    let session = Recorder::new(1);
    session.capacity.store(0, Ordering::Relaxed);
    attach(&history, &session, None);
    for text in ["a", "b", "c"] {
        push(&history, text);
    }
    assert!(!session.was_overrun.load(Ordering::Relaxed));
    push(&history, "d");
    assert!(session.was_overrun.load(Ordering::Relaxed));
    // The client comes back, and is told.
    let next = Recorder::new(2);
    let told = attach(&history, &next, Some(0));
    assert_eq!((told.offset, told.is_recovered), (1, false));
    assert_eq!(next.texts(), ["b", "c", "d"]);
}

#[tokio::test(start_paused = true)]
async fn histories_of_clients_that_stay_away_expire() {
    let histories = histories(LARGE, LARGE);
    let (attached, lost) = (open(&histories, "anna"), open(&histories, "ben"));
    let session = Recorder::new(1);
    attach(&attached, &session, None);
    attach(&lost, &session, None);
    lost.detach(1);
    let soon = Instant::now() + Duration::from_secs(59);
    assert!(histories.expired(soon).is_empty());
    let late = Instant::now() + Duration::from_secs(61);
    let expired = histories.expired(late);
    assert!(matches!(&expired[..], [history] if history.epoch == lost.epoch));
    histories.close(&lost);
    assert!(
        !lost.push(&b"a"[..].into(), None),
        "it is no longer delivered"
    );
    assert_eq!(histories.count(), 1);
}

#[test]
fn broadcasts_reach_the_histories_of_an_endpoint() {
    let histories = histories(LARGE, LARGE);
    let history = open(&histories, "anna");
    let found = histories.of_endpoint(endpoint());
    assert!(matches!(&found[..], [found] if found.epoch == history.epoch));
}

#[test]
fn points_are_parsed() {
    let point = ResumePoint::parse("00000000000000af:12");
    assert_eq!(
        point,
        Some(ResumePoint {
            epoch: 0xaf,
            offset: 12
        })
    );
    for text in [
        "",
        ":",
        "af",
        "af:",
        "af:-1",
        "xyz:1",
        "1af00000000000000:1",
        "af:1:2",
    ] {
        assert_eq!(ResumePoint::parse(text), None, "{text}");
    }
}

/// A history in Redis, what it asks Redis for, and a session.
fn in_redis(limit: usize) -> (Histories, mpsc::Receiver<StoreCommand>) {
    let mut histories = histories(LARGE, limit);
    let (_, commands) = histories.use_store();
    (histories, commands)
}

fn kept(text: &str) -> KeptPush {
    text.as_bytes().into()
}

#[test]
fn a_push_is_sent_when_redis_has_stored_it() {
    let (histories, mut commands) = in_redis(LARGE);
    let history = open(&histories, "anna");
    history.follow(0, &[]);
    let session = Recorder::new(1);
    attach(&history, &session, None);
    push(&history, "a");
    assert!(session.offsets().is_empty());
    assert!(matches!(commands.try_recv(), Ok(StoreCommand::Push(..))));
    assert!(history.stored(1, &kept("a")));
    // Another gateway has stored two, which have to be read.
    assert!(!history.stored(4, &kept("d")));
    for (offset, text) in [(2, "b"), (3, "c"), (4, "d"), (4, "d"), (1, "a")] {
        assert!(history.stored(offset, &kept(text)));
    }
    assert_eq!(session.texts(), ["a", "b", "c", "d"]);
    assert_eq!(histories.bytes(), HISTORY_OVERHEAD, "Redis keeps them");
}

#[test]
fn a_history_of_another_gateway_begins_with_what_was_missed() {
    let (histories, mut commands) = in_redis(LARGE);
    let history = open(&histories, "anna");
    history.follow(7, &[kept("f"), kept("g")]);
    // Announced before the session is attached.
    assert!(history.stored(8, &kept("h")));
    let session = Recorder::new(3);
    let told = attach(&history, &session, Some(5));
    assert_eq!((told.offset, told.is_recovered), (5, true));
    assert_eq!(session.offsets(), [6, 7, 8]);
    // The client goes on to a third one.
    history.moved();
    assert_eq!(*session.detached.lock(), Some(DetachReason::Moved));
    assert!(history.stored(9, &kept("i")));
    assert_eq!(session.offsets(), [6, 7, 8]);
    // Pushes that still arrive here are stored.
    push(&history, "j");
    assert!(matches!(commands.try_recv(), Ok(StoreCommand::Push(..))));
}

#[test]
fn a_client_is_told_when_redis_does_not_answer() {
    let (histories, _commands) = in_redis(2 * HISTORY_OVERHEAD);
    let history = open(&histories, "anna");
    history.follow(0, &[]);
    let session = Recorder::new(1);
    attach(&history, &session, None);
    let text = kept(&"x".repeat(HISTORY_OVERHEAD));
    assert!(history.push(&text, None));
    assert!(!history.push(&text, None));
    assert_eq!(*session.detached.lock(), Some(DetachReason::StoreFailed));
    assert!(!history.push(&kept("a"), None));
}
