//! A service: its queue, which all agents that host it read, and the processes that run its calls.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::StreamExt as _;
use lapin::{
    BasicProperties, Channel,
    message::Delivery,
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions,
        BasicQosOptions, QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable},
};
use parking_lot::Mutex;
use tce_runtime::{
    ErrorCode, Fault, RpcError,
    wire::{
        Extra, Header, Limits, Marshal as _, RawMessage, Reader, Unmarshal as _, Writer,
        escape_ascii, reserved,
    },
};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep_until, timeout},
};

use crate::{
    broker::{Broker, BrokerError, Link, Publisher, REQUEST_TIME, pause, request, short},
    host::{CallPermit, DRAIN_TIME, Generation, HostCommand, HostEndpoint},
    idl::frame::FunctionsPrx,
};

/// How long a call without a deadline may wait and run.
const DEFAULT_TIME: Duration = Duration::from_secs(30);
/// How long the queue outlives its agents if the broker was killed meanwhile, in milliseconds.
const QUEUE_EXPIRES_MS: i32 = 30_000;
/// The most bytes of the arguments of a call.
const MAX_ARGUMENTS: usize = 1 << 20;
/// The longest text of an error that a RETURN carries, in bytes.
const MAX_ERROR: usize = 8 << 10;
/// The name by which a process gives the source text of a function.
const SOURCE: &str = ".source";
/// Keys that concern one message and are not forwarded with it.
const HOP_KEYS: [&str; 4] = [
    reserved::MQ_RETURN,
    reserved::LINGER_TIME,
    reserved::DEADLINE,
    reserved::REDELIVERED,
];

/// The queues and processes that services of an agent share.
pub(crate) struct ServiceContext {
    pub(crate) broker: Broker,
    pub(crate) link: Link,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) hosts: Arc<HostEndpoint>,
}

/// A service that an agent hosts.
pub(crate) struct Service {
    context: Arc<ServiceContext>,
    base: String,
    current: Mutex<Arc<Generation>>,
    phase: watch::Sender<Phase>,
    consumer: Mutex<Option<JoinHandle<()>>>,
    /// Whether the queue was read once.
    has_read: watch::Sender<bool>,
    /// Calls that were run.
    pub(crate) calls: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    /// Takes no more calls; those that run may end.
    Draining,
}

impl Service {
    /// Starts the processes and reads the queue.
    ///
    /// # Errors
    /// Why the code can't be loaded.
    pub(crate) async fn start(
        context: &Arc<ServiceContext>,
        command: HostCommand,
    ) -> Result<Arc<Self>, String> {
        let base = command.name.clone();
        let generation = Generation::start(command, Arc::clone(&context.hosts)).await?;
        let service = Arc::new(Self {
            context: Arc::clone(context),
            base,
            current: Mutex::new(generation),
            phase: watch::Sender::new(Phase::Running),
            consumer: Mutex::default(),
            has_read: watch::Sender::new(false),
            calls: AtomicU64::new(0),
        });
        *service.consumer.lock() = Some(tokio::spawn(Arc::clone(&service).consume()));
        // Calls that follow find the queue, unless the broker is away now.
        let mut has_read = service.has_read.subscribe();
        let _ = timeout(REQUEST_TIME, has_read.wait_for(|has_read| *has_read)).await;
        Ok(service)
    }

    /// Replaces the processes by new ones, once these have loaded their code. No call fails.
    ///
    /// # Errors
    /// The new code can't be loaded; the old goes on.
    pub(crate) async fn restart(&self, command: HostCommand) -> Result<(), String> {
        let new = Generation::start(command, Arc::clone(&self.context.hosts)).await?;
        let old = std::mem::replace(&mut *self.current.lock(), new);
        old.retire();
        Ok(())
    }

    /// `running`, or why not.
    pub(crate) fn state(&self) -> String {
        match self.generation().failure() {
            Some(failure) => format!("failed: {failure}"),
            None => "running".to_owned(),
        }
    }

    pub(crate) fn generation(&self) -> Arc<Generation> {
        Arc::clone(&self.current.lock())
    }

    /// Takes no more calls, lets those that run end, at most 30 s, and ends the processes.
    pub(crate) async fn shutdown(&self) {
        self.phase.send_replace(Phase::Draining);
        let consumer = self.consumer.lock().take();
        if let Some(consumer) = consumer {
            // An abort requeues what was not begun.
            let _ = timeout(DRAIN_TIME, consumer).await;
        }
        let generation = self.generation();
        generation.retire();
        let _ = timeout(DRAIN_TIME + Duration::from_secs(6), generation.ended()).await;
    }

    /// The source text of a function, from a process.
    pub(crate) async fn source_of(&self, name: &str) -> Result<String, Fault> {
        let text = |value: &str| rmpv::Value::from(value);
        let arguments = rmpv::Value::Array(vec![
            rmpv::Value::Array(vec![text(name)]),
            rmpv::Value::Map(Vec::new()),
        ]);
        let (mut packed, mut params) = (Vec::new(), Vec::new());
        rmpv::encode::write_value(&mut packed, &arguments).map_err(Fault::internal)?;
        (SOURCE, packed.as_slice()).marshal(&mut Writer::new(&mut params));
        let failed = |text: String| Fault::new(ErrorCode::RemoteException, text);
        let Some(permit) = self.permit(Instant::now() + DEFAULT_TIME).await else {
            return Err(failed(self.state()));
        };
        let call = &FunctionsPrx::CALL;
        let asked = permit.call(call.ifidx(), call.opidx(), &[], &params).await;
        let result = asked.map_err(|error| failed(error.text().to_owned()))?;
        let mut input = Reader::new(&result);
        let packed = Vec::<u8>::unmarshal(&mut input).map_err(Fault::internal)?;
        let value = rmpv::decode::read_value(&mut packed.as_slice()).map_err(Fault::internal)?;
        Ok(value.as_str().unwrap_or_default().to_owned())
    }

    /// Reads the queue until the shutdown, again whenever the connection is lost.
    async fn consume(self: Arc<Self>) {
        let mut phase = self.phase.subscribe();
        let mut calls = JoinSet::new();
        while *phase.borrow() == Phase::Running {
            let failure = self.generation().failure();
            if failure.is_none() {
                let opened = tokio::select! {
                    opened = self.open() => opened,
                    _ = phase.wait_for(|phase| *phase > Phase::Running) => break,
                };
                match opened {
                    Ok((channel, consumer)) => {
                        self.has_read.send_replace(true);
                        self.read(&channel, consumer, &mut calls, &mut phase).await;
                    }
                    Err(error) => {
                        tracing::warn!(package = self.base, "can't read the calls: {error}");
                    }
                }
            }
            tokio::select! {
                () = pause() => {}
                _ = phase.wait_for(|phase| *phase > Phase::Running) => {}
            }
            while calls.try_join_next().is_some() {}
        }
        while calls.join_next().await.is_some() {}
    }

    async fn open(&self) -> Result<(Channel, lapin::Consumer), BrokerError> {
        let channel = self.context.link.channel().await?;
        let queue = self.context.broker.service_queue(&self.base);
        let mut arguments = FieldTable::default();
        // A durable auto-delete queue exists again after the broker was killed, without a consumer.
        arguments.insert("x-expires".into(), AMQPValue::LongInt(QUEUE_EXPIRES_MS));
        let options = QueueDeclareOptions {
            durable: true,
            auto_delete: true,
            ..QueueDeclareOptions::default()
        };
        request(channel.queue_declare(short(&queue), options, arguments)).await?;
        // Further calls wait in the queue, where another agent takes them.
        let command = self.generation();
        let command = command.command();
        let prefetch = command
            .processes
            .saturating_mul(command.settings.concurrency);
        let prefetch = u16::try_from(prefetch).unwrap_or(u16::MAX);
        request(channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
        let options = BasicConsumeOptions::default();
        let consuming =
            channel.basic_consume(short(&queue), "tce".into(), options, FieldTable::default());
        Ok((channel.clone(), request(consuming).await?))
    }

    /// Runs calls until the connection is lost, the package fails or the agent drains.
    async fn read(
        self: &Arc<Self>,
        channel: &Channel,
        mut consumer: lapin::Consumer,
        calls: &mut JoinSet<()>,
        phase: &mut watch::Receiver<Phase>,
    ) {
        loop {
            let failed = async {
                loop {
                    pause().await;
                    if self.generation().failure().is_some() {
                        return;
                    }
                }
            };
            tokio::select! {
                delivered = consumer.next() => match delivered {
                    Some(Ok(delivery)) => {
                        while calls.try_join_next().is_some() {}
                        let service = Arc::clone(self);
                        let channel = channel.clone();
                        calls.spawn(async move { service.serve(&channel, delivery).await });
                    }
                    Some(Err(_)) | None => return,
                },
                () = failed => break,
                _ = phase.wait_for(|phase| *phase > Phase::Running) => break,
            }
        }
        let cancelling = channel.basic_cancel("tce".into(), BasicCancelOptions::default());
        if let Err(error) = request(cancelling).await {
            tracing::debug!(
                package = self.base,
                "the consumer is not cancelled: {error}"
            );
        }
        // What was delivered meanwhile goes to another agent.
        while let Ok(Some(Ok(delivery))) = timeout(Duration::from_millis(50), consumer.next()).await
        {
            give_back(channel, &delivery).await;
        }
    }

    async fn serve(&self, channel: &Channel, delivery: Delivery) {
        let limits = Limits::default();
        let message = match RawMessage::parse(&delivery.data, &limits) {
            Ok(message) if message.header.calltype.is_call() => message,
            _ => {
                tracing::warn!(package = self.base, "dropped a message that is no call");
                return acknowledge(channel, &delivery).await;
            }
        };
        let call = Call {
            header: message.header,
            extra: Extra::from(message.extra),
            function: called_function(&message),
            deadline: deadline_of(&message.extra.get(reserved::DEADLINE), &delivery.properties),
        };
        let Some(permit) = self.permit(call.deadline).await else {
            return match call.deadline <= Instant::now() {
                true => acknowledge(channel, &delivery).await,
                false => give_back(channel, &delivery).await,
            };
        };
        let is_repeatable = self.is_idempotent(&call);
        if !is_repeatable {
            // Before it runs: whatever happens afterwards, it does not run again.
            acknowledge(channel, &delivery).await;
        }
        let result = match message.params.len() > MAX_ARGUMENTS {
            true => Err(RpcError::new(
                ErrorCode::UnserializeFailed,
                "the arguments have more than 1 MiB",
            )),
            false => self.run(&permit, &call, message.params).await,
        };
        drop(permit);
        self.reply(&call, result).await;
        if is_repeatable {
            acknowledge(channel, &delivery).await;
        }
    }

    /// Waits for a process until the deadline; `None` if no call can be run by this agent now.
    async fn permit(&self, deadline: Instant) -> Option<CallPermit> {
        let waiting = async {
            loop {
                let generation = self.generation();
                if let Some(permit) = generation.permit().await {
                    return Some(permit);
                }
                if Arc::ptr_eq(&generation, &self.generation()) {
                    return None;
                }
            }
        };
        tokio::select! {
            biased;
            permit = waiting => permit,
            () = sleep_until(deadline) => None,
        }
    }

    fn is_idempotent(&self, call: &Call) -> bool {
        let generation = self.generation();
        let name = call.function.strip_prefix(self.base.as_str());
        let name = name
            .and_then(|name| name.strip_prefix("__"))
            .unwrap_or_default();
        generation
            .command()
            .settings
            .idempotent
            .iter()
            .any(|function| function == name)
    }

    async fn run(
        &self,
        permit: &CallPermit,
        call: &Call,
        params: &[u8],
    ) -> Result<Vec<u8>, RpcError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let forwarded = call.extra.iter().filter(|(key, _)| !HOP_KEYS.contains(key));
        let extra: Vec<_> = forwarded
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        permit
            .call(call.header.ifidx, call.header.opidx, &extra, params)
            .await
    }

    /// Publishes the RETURN, unless the caller waits no longer.
    async fn reply(&self, call: &Call, result: Result<Vec<u8>, RpcError>) {
        let left = call.deadline.saturating_duration_since(Instant::now());
        let queue = call.extra.get(reserved::MQ_RETURN);
        let Some(queue) = queue.filter(|_| !call.header.calltype.is_oneway() && !left.is_zero())
        else {
            return;
        };
        let body = marshalled_return(call, result);
        let properties =
            BasicProperties::default().with_expiration(left.as_millis().max(1).to_string().into());
        match self
            .context
            .publisher
            .publish(queue, &body, properties)
            .await
        {
            Ok(()) => {}
            Err(BrokerError::NoQueue) => {
                tracing::debug!(package = self.base, "the caller of a function is gone");
            }
            Err(error) => tracing::warn!(package = self.base, "can't answer a call: {error}"),
        }
    }
}

/// A call that was taken from the queue.
struct Call {
    header: Header,
    extra: Extra,
    /// `base__function`; empty for an operation of a typed interface.
    function: String,
    deadline: Instant,
}

fn called_function(message: &RawMessage<'_>) -> String {
    let header = &message.header;
    let call = &FunctionsPrx::CALL;
    if (header.ifidx, header.opidx) != (call.ifidx(), call.opidx()) {
        return String::new();
    }
    Reader::new(message.params)
        .take_str()
        .unwrap_or_default()
        .to_owned()
}

/// When the caller stops waiting, by its own word or by that of the message.
fn deadline_of(deadline: &Option<&str>, properties: &BasicProperties) -> Instant {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let said = deadline.and_then(|millis| millis.parse().ok());
    let left = said.map(|at| Duration::from_millis(at).saturating_sub(now));
    let expiration = properties.expiration().as_ref();
    let expires = expiration
        .and_then(|millis| millis.as_str().parse().ok())
        .map(Duration::from_millis);
    let left = match (left, expires) {
        (Some(left), _) => left,
        (None, Some(expires)) => expires,
        (None, None) => DEFAULT_TIME,
    };
    Instant::now() + left.min(Duration::from_secs(86_400))
}

fn marshalled_return(call: &Call, result: Result<Vec<u8>, RpcError>) -> Vec<u8> {
    let mut extra = match call.header.is_routed() {
        true => call.extra.clone(),
        false => Extra::new(),
    };
    let (code, params) = match result {
        Ok(params) => (0, params),
        Err(error) => {
            extra.set(reserved::ERROR, escape_ascii(cut(error.text())));
            (error.code().to_wire(), Vec::new())
        }
    };
    let mut body = Vec::with_capacity(params.len() + 64);
    let mut out = Writer::new(&mut body);
    call.header.returning(code).marshal(&mut out);
    extra.marshal(&mut out);
    out.put(&params);
    body
}

/// At most [`MAX_ERROR`] bytes of a text.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_ERROR);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A lost channel has given the message back already.
async fn acknowledge(channel: &Channel, delivery: &Delivery) {
    let tag = delivery.delivery_tag;
    if let Err(error) = channel.basic_ack(tag, BasicAckOptions::default()).await {
        tracing::debug!("a message is not acknowledged: {error}");
    }
}

async fn give_back(channel: &Channel, delivery: &Delivery) {
    let options = BasicNackOptions {
        requeue: true,
        ..BasicNackOptions::default()
    };
    if let Err(error) = channel.basic_nack(delivery.delivery_tag, options).await {
        tracing::debug!("a message is not given back: {error}");
    }
}
