//! Multi-calls: one request to all programs behind a topic, and their replies.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    future::poll_fn,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::Stream;

use super::call::{complete, decoded, error_of, reply_of};
use crate::{
    advice::TOPIC_ADVICE,
    communicator::Communicator,
    connection::{CallOptions, CallOutcome, Connection, Reply as RawReply},
    error::{ErrorCode, RpcError},
    in_flight::{after, now},
    roster::{is_member_id, wrong_member_id},
    wire::{Extra, Limits, Marshal, Operation, Unmarshal, reserved},
};

/// The most members that a call waits for.
const MAX_AWAITED: usize = 10_000;

/// Calls all members of a topic at once: what all generated ones (`ServerMulti`) have in
/// common. They are generated with `multi_calls()` of a build script.
///
/// A member is a program that has [joined](crate::Adapter::join) the topic. Each operation
/// returns a [`MultiCall`]. It waits for those that [`only`](Self::only) or
/// [`expecting`](Self::expecting) name, else for all members that those which answer know of;
/// until the timeout at most. Interceptors of clients do not see multi-calls; those of
/// servers do.
///
/// The `with_…` methods and the choice of members return a clone with other options.
///
/// ```no_run
/// # use tce_runtime::{MultiCall, MultiProxy};
/// # #[derive(Clone)]
/// # struct ManagementMulti(MultiProxy);
/// # impl TypedMulti for ManagementMulti {
/// #     fn from_multi(proxy: MultiProxy) -> Self { Self(proxy) }
/// #     fn as_multi(&self) -> &MultiProxy { &self.0 }
/// # }
/// # impl ManagementMulti { fn version(&self) -> MultiCall<String> { unimplemented!() } }
/// use std::time::Duration;
/// use tce_runtime::prelude::*;
///
/// # async fn call(communicator: Communicator) -> Result<(), RpcError> {
/// let all = ManagementMulti::connect(&communicator, "mq:commands").await?;
/// let replies = all.with_timeout(Duration::from_secs(2)).version().collect().await?;
/// for (member, version) in &replies.values {
///     println!("{member}: {version}");
/// }
/// for member in &replies.missing {
///     println!("{member} does not answer");
/// }
/// # Ok(())
/// # }
/// ```
pub trait TypedMulti: Sized {
    /// The typed proxy around an untyped one.
    #[must_use]
    fn from_multi(proxy: MultiProxy) -> Self;

    /// The untyped proxy that this one calls through.
    fn as_multi(&self) -> &MultiProxy;

    /// Connects to a topic of [`Communicator::open_mq`] that is open for writing, `mq:name`.
    ///
    /// # Errors
    /// CONNECT_FAILED if there is no such topic.
    fn connect(
        communicator: &Communicator,
        endpoint: &str,
    ) -> impl Future<Output = Result<Self, RpcError>> + Send {
        async move {
            let connection = communicator.connect(endpoint).await?;
            Self::new(&connection)
        }
    }

    /// A proxy on an existing connection to a topic.
    ///
    /// # Errors
    /// CONNECT_FAILED for any other connection.
    fn new(connection: &Connection) -> Result<Self, RpcError> {
        MultiProxy::new(connection).map(Self::from_multi)
    }

    /// The same proxy with another time limit for its calls, by default that of the
    /// communicator's [`Options`](crate::config::Options), 30 s.
    #[must_use]
    fn with_timeout(&self, timeout: Duration) -> Self {
        Self::from_multi(self.as_multi().with_timeout(timeout))
    }

    /// The same proxy with entries that travel in the extra of each of its calls.
    #[must_use]
    fn with_extra<K: AsRef<str>, V: AsRef<str>>(
        &self,
        extra: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        Self::from_multi(self.as_multi().with_extra(extra))
    }

    /// The same proxy, whose calls are for these members alone, and wait for all of them.
    #[must_use]
    fn only<I: AsRef<str>>(&self, ids: impl IntoIterator<Item = I>) -> Self {
        Self::from_multi(self.as_multi().only(ids))
    }

    /// The same proxy, whose calls are not for these members.
    #[must_use]
    fn except<I: AsRef<str>>(&self, ids: impl IntoIterator<Item = I>) -> Self {
        Self::from_multi(self.as_multi().except(ids))
    }

    /// The same proxy, whose calls wait for these members, whichever others there are. It
    /// takes the replies of others that arrive meanwhile.
    #[must_use]
    fn expecting<I: AsRef<str>>(&self, ids: impl IntoIterator<Item = I>) -> Self {
        Self::from_multi(self.as_multi().expecting(ids))
    }
}

/// The untyped proxy within every generated [`TypedMulti`]. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MultiProxy {
    connection: Connection,
    options: CallOptions,
    only: Option<Arc<BTreeSet<String>>>,
    except: Arc<BTreeSet<String>>,
    expecting: Option<Arc<BTreeSet<String>>>,
}

impl MultiProxy {
    /// As [`TypedMulti::new`].
    ///
    /// # Errors
    /// CONNECT_FAILED for a connection that leads to no topic.
    pub fn new(connection: &Connection) -> Result<Self, RpcError> {
        if !connection.is_topic() {
            let text = "a multi-call needs a topic, and this endpoint is none";
            let error = RpcError::new(ErrorCode::ConnectFailed, text).advised(TOPIC_ADVICE);
            return Err(error.at_peer(connection.peer()));
        }
        Ok(Self {
            connection: connection.clone(),
            options: CallOptions::default(),
            only: None,
            except: Arc::default(),
            expecting: None,
        })
    }

    /// The connection that carries the calls.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// As [`TypedMulti::with_timeout`].
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        let mut proxy = self.clone();
        proxy.options.timeout = Some(timeout);
        proxy
    }

    /// As [`TypedMulti::with_extra`].
    #[must_use]
    pub fn with_extra<K: AsRef<str>, V: AsRef<str>>(
        &self,
        extra: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let mut proxy = self.clone();
        proxy.options.extra.extend(extra);
        proxy
    }

    /// As [`TypedMulti::only`].
    #[must_use]
    pub fn only<I: AsRef<str>>(&self, ids: impl IntoIterator<Item = I>) -> Self {
        Self {
            only: Some(Arc::new(set_of(ids))),
            ..self.clone()
        }
    }

    /// As [`TypedMulti::except`].
    #[must_use]
    pub fn except<I: AsRef<str>>(&self, ids: impl IntoIterator<Item = I>) -> Self {
        Self {
            except: Arc::new(set_of(ids)),
            ..self.clone()
        }
    }

    /// As [`TypedMulti::expecting`].
    #[must_use]
    pub fn expecting<I: AsRef<str>>(&self, ids: impl IntoIterator<Item = I>) -> Self {
        Self {
            expecting: Some(Arc::new(set_of(ids))),
            ..self.clone()
        }
    }

    /// Calls the members. The call is sent before this returns.
    pub fn call<P: Marshal, T: Unmarshal>(&self, operation: &Operation, params: P) -> MultiCall<T> {
        let timeout = self.options.timeout(&self.connection);
        let named = self.expecting.as_deref().or(self.only.as_deref());
        let awaited = AwaitedMembers::new(named, &self.except);
        let state = match awaited.is_done() {
            // For none: nothing is sent.
            true => CallState::Ended,
            false => match self.send(operation, timeout, params) {
                Ok(sequence) => CallState::Sent(sequence),
                Err(error) => CallState::Failed(error),
            },
        };
        MultiCall {
            state,
            awaited,
            operation: *operation,
            connection: self.connection.clone(),
            timeout,
            result: PhantomData,
        }
    }

    fn send(
        &self,
        operation: &Operation,
        timeout: Duration,
        params: impl Marshal,
    ) -> Result<u32, RpcError> {
        let mut options = self.options.clone();
        options.linger = Some(timeout);
        if let Some(only) = &self.only {
            options.extra.set(reserved::TO, joined(only)?);
        }
        if !self.except.is_empty() {
            options.extra.set(reserved::NOT_TO, joined(&self.except)?);
        }
        let size = options.extra.raw().size();
        let accepted = Limits::default().max_extra_bytes - OTHER_EXTRA;
        if size > accepted {
            let text =
                format!("the ids of members and the extra have {size} bytes, more than {accepted}");
            return Err(RpcError::new(ErrorCode::SendFailed, text));
        }
        let deadline = after(now(), timeout);
        self.connection
            .send_multi_call(operation, &options, deadline, params)
    }
}

/// What a call has in its extra beside ids and the program's own entries, in bytes, at most.
const OTHER_EXTRA: usize = 1024;

fn set_of<I: AsRef<str>>(ids: impl IntoIterator<Item = I>) -> BTreeSet<String> {
    ids.into_iter().map(|id| id.as_ref().to_owned()).collect()
}

fn joined(ids: &BTreeSet<String>) -> Result<String, RpcError> {
    if let Some(wrong) = ids.iter().find(|id| !is_member_id(id)) {
        return Err(RpcError::new(ErrorCode::SendFailed, wrong_member_id(wrong)));
    }
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    Ok(ids.join(","))
}

/// One member's reply to a multi-call.
#[derive(Debug)]
pub struct Reply<T> {
    /// The id of the member; `?1`, `?2` … for programs that have not joined the topic.
    pub from: String,
    /// The result of the operation, or its error.
    pub result: Result<T, RpcError>,
}

/// The replies to a multi-call.
#[derive(Debug)]
pub struct Replies<T> {
    /// The results, by the id of the member.
    pub values: BTreeMap<String, T>,
    /// The errors of the members whose servant failed.
    pub failures: BTreeMap<String, RpcError>,
    /// The members that have not answered before the deadline, sorted.
    pub missing: Vec<String>,
}

/// A multi-call that was sent: [collect](Self::collect) its replies, or take them one after
/// another, as a [`Stream`].
///
/// The stream ends when all members that are waited for have replied, else at the deadline.
/// A member that replies twice counts once. At most 10,000 replies and 64 MiB of them are
/// taken; more are an error. Dropped, it takes no more replies; the members run the call all
/// the same.
///
/// # Errors
/// As items of the stream, and of `collect`:
///
/// - SENDFAILED if it was not sent; at once, if no program reads the topic.
/// - TIMEOUT if no reply has arrived until the deadline, and no member was waited for by its
///   id. Otherwise these are [`missing`](Replies::missing).
/// - CONNECTION_LOST if the broker went away.
#[must_use = "the call was sent, but its replies are lost: collect them"]
pub struct MultiCall<T> {
    state: CallState,
    awaited: AwaitedMembers,
    operation: Operation,
    connection: Connection,
    timeout: Duration,
    result: PhantomData<fn() -> T>,
}

enum CallState {
    /// Sent, with this sequence.
    Sent(u32),
    Failed(RpcError),
    Ended,
}

impl<T: Unmarshal> MultiCall<T> {
    /// Waits for all replies.
    ///
    /// # Errors
    /// Those of the call as a whole. The error of a member is in
    /// [`failures`](Replies::failures).
    pub async fn collect(mut self) -> Result<Replies<T>, RpcError> {
        let (mut values, mut failures) = (BTreeMap::new(), BTreeMap::new());
        while let Some(reply) = self.next().await {
            let Reply { from, result } = reply?;
            match result {
                Ok(value) => drop(values.insert(from, value)),
                Err(error) => drop(failures.insert(from, error)),
            }
        }
        Ok(Replies {
            values,
            failures,
            missing: self.missing(),
        })
    }

    /// The next reply; `None` once the call has ended.
    pub async fn next(&mut self) -> Option<Result<Reply<T>, RpcError>> {
        poll_fn(|cx| self.poll_reply(cx)).await
    }

    /// The members that are waited for, as far as they are known, sorted.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        self.awaited.missing.iter().cloned().collect()
    }

    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Reply<T>, RpcError>>> {
        loop {
            if self.awaited.is_done() {
                self.end();
            }
            let sequence = match std::mem::replace(&mut self.state, CallState::Ended) {
                CallState::Sent(sequence) => sequence,
                CallState::Failed(error) => return Poll::Ready(Some(Err(self.complete(error)))),
                CallState::Ended => return Poll::Ready(None),
            };
            self.state = CallState::Sent(sequence);
            let outcome = ready!(self.connection.inner.calls.poll_collecting(sequence, cx));
            if let CallOutcome::Returned(reply) = outcome {
                if let Some(reply) = self.accept(reply) {
                    return Poll::Ready(Some(Ok(reply)));
                }
                continue;
            }
            self.end();
            let is_deadline = matches!(outcome, CallOutcome::TimedOut);
            if is_deadline && self.awaited.names_someone() {
                return Poll::Ready(None);
            }
            let failed = reply_of(outcome, self.timeout).map_or_else(Some, |_| None);
            return Poll::Ready(failed.map(|error| Err(self.complete(error))));
        }
    }

    /// The reply of a member; `None` if it has replied before.
    fn accept(&mut self, reply: RawReply) -> Option<Reply<T>> {
        let from = self.awaited.replied(&reply.extra)?;
        let result = match reply.errcode {
            0 => decoded(&self.connection, reply.result.as_slice(), reply.extra)
                .map(|returned| returned.value),
            _ => Err(error_of(&reply)),
        };
        let at_member = |error: RpcError| {
            let peer = format!("{from} at {}", self.connection.peer());
            error.of_operation(self.operation.name()).at_peer(peer)
        };
        let result = result.map_err(at_member);
        Some(Reply { from, result })
    }

    fn complete(&self, error: RpcError) -> RpcError {
        complete(error, &self.operation, &self.connection)
    }
}

impl<T> MultiCall<T> {
    /// Takes no more replies.
    fn end(&mut self) {
        if let CallState::Sent(sequence) = self.state {
            self.connection.inner.calls.forget(sequence);
            self.state = CallState::Ended;
        }
    }
}

impl<T: Unmarshal> Stream for MultiCall<T> {
    type Item = Result<Reply<T>, RpcError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_reply(cx)
    }
}

impl<T> Drop for MultiCall<T> {
    fn drop(&mut self) {
        self.end();
    }
}

impl<T> fmt::Debug for MultiCall<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultiCall")
            .field("operation", &self.operation)
            .field("awaited", &self.awaited)
            .finish_non_exhaustive()
    }
}

/// The members that a call waits for, and those that have replied.
#[derive(Debug)]
struct AwaitedMembers {
    /// Whether the caller has named them; else they are the union of the rosters in the
    /// replies.
    is_named: bool,
    /// Those of rosters that the call is not for.
    excluded: BTreeSet<String>,
    /// Whether a reply had a roster.
    has_roster: bool,
    /// The last roster: most are the same.
    last_roster: String,
    missing: BTreeSet<String>,
    replied: BTreeSet<String>,
    /// How many replies had no id.
    unnamed: usize,
}

impl AwaitedMembers {
    fn new(named: Option<&BTreeSet<String>>, excluded: &BTreeSet<String>) -> Self {
        let missing = named.map(|named| named - excluded);
        Self {
            is_named: missing.is_some(),
            excluded: excluded.clone(),
            has_roster: false,
            last_roster: String::new(),
            missing: missing.unwrap_or_default(),
            replied: BTreeSet::new(),
            unnamed: 0,
        }
    }

    /// Whether all that are waited for have replied.
    fn is_done(&self) -> bool {
        (self.is_named || self.has_roster) && self.missing.is_empty()
    }

    /// Whether a member has replied, or is known to be missing.
    fn names_someone(&self) -> bool {
        self.is_named || self.unnamed > 0 || !self.replied.is_empty()
    }

    /// Notes a reply with this extra. Returns who has replied, or `None` if that member has
    /// before.
    fn replied(&mut self, extra: &Extra) -> Option<String> {
        let Some(from) = extra.get(reserved::REPLIER) else {
            self.unnamed += 1;
            return Some(format!("?{}", self.unnamed));
        };
        self.missing.remove(from);
        let is_first = self.replied.insert(from.to_owned());
        if let Some(roster) = extra.get(reserved::ROSTER)
            && !self.is_named
        {
            self.add_roster(roster);
        }
        is_first.then(|| from.to_owned())
    }

    fn add_roster(&mut self, roster: &str) {
        if self.has_roster && self.last_roster == roster {
            return;
        }
        self.has_roster = true;
        roster.clone_into(&mut self.last_roster);
        for id in roster.split(',').filter(|id| is_member_id(id)) {
            let is_known = self.replied.contains(id) || self.excluded.contains(id);
            if !is_known && self.missing.len() < MAX_AWAITED {
                self.missing.insert(id.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(from: &str, roster: Option<&str>) -> Extra {
        let mut extra = Extra::from_iter([(reserved::REPLIER, from)]);
        if let Some(roster) = roster {
            extra.set(reserved::ROSTER, roster);
        }
        extra
    }

    fn unnamed(excluded: &[&str]) -> AwaitedMembers {
        AwaitedMembers::new(None, &set_of(excluded))
    }

    #[test]
    fn the_union_of_the_rosters_is_waited_for() {
        let mut awaited = unnamed(&["d"]);
        assert!(!awaited.is_done() && !awaited.names_someone());
        awaited.replied(&reply("a", Some("a,b,d")));
        assert!(!awaited.is_done());
        awaited.replied(&reply("b", Some("a,b,c")));
        assert_eq!(Vec::from_iter(&awaited.missing), ["c"]);
        awaited.replied(&reply("c", Some("c")));
        assert!(awaited.is_done());
    }

    #[test]
    fn a_reply_without_a_roster_ends_no_call() {
        let mut awaited = unnamed(&[]);
        awaited.replied(&reply("a", None));
        assert!(!awaited.is_done());
        awaited.replied(&reply("b", Some("a,b")));
        assert!(awaited.is_done());
    }

    #[test]
    fn a_member_that_replies_twice_counts_once() {
        let mut awaited = unnamed(&[]);
        assert_eq!(awaited.replied(&reply("a", None)).as_deref(), Some("a"));
        assert_eq!(awaited.replied(&reply("a", Some("a,b"))), None);
        // A roster that is new in it counts.
        assert_eq!(Vec::from_iter(&awaited.missing), ["b"]);
    }

    #[test]
    fn named_members_are_waited_for_whatever_rosters_say() {
        let named = set_of(["a", "b"]);
        let mut awaited = AwaitedMembers::new(Some(&named), &BTreeSet::new());
        awaited.replied(&reply("a", Some("a,b,c")));
        awaited.replied(&reply("c", Some("a,b,c")));
        assert_eq!(Vec::from_iter(&awaited.missing), ["b"]);
        awaited.replied(&reply("b", None));
        assert!(awaited.is_done());
    }

    #[test]
    fn programs_without_an_id_are_numbered() {
        let mut awaited = unnamed(&[]);
        let names = [
            awaited.replied(&Extra::new()),
            awaited.replied(&Extra::new()),
        ];
        assert_eq!(names.map(Option::unwrap), ["?1", "?2"]);
        assert!(!awaited.is_done() && awaited.names_someone());
    }
}
