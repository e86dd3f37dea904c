//! Threads that serve connections, each with a runtime of its own.
//!
//! A runtime of one thread serves a connection with fewer instructions than one
//! of several threads: tasks never move to another core, and one read's RETURNs
//! leave without waking another thread. So several cores are used by several such
//! runtimes, and a connection stays on one of them.

use std::{
    fmt,
    future::pending,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

use crate::busy_poll::BusyPoll;

/// Threads that serve the connections of adapters
/// ([`Adapter::serve_on`](crate::Adapter::serve_on)), each with a tokio runtime
/// `current_thread` of its own.
///
/// The adapter accepts on the runtime that has started it, and gives each
/// connection to the thread with the fewest. Its handshakes and calls run there,
/// so the calls of one connection reach their servants in order, while those of
/// several connections run on several cores.
///
/// Clones are the same pool. Its threads end when the last clone is dropped, which
/// an adapter and its connections hold, too; tasks that still run are dropped then.
///
/// ```no_run
/// # use std::time::Duration;
/// # use tce_runtime::{Adapter, Communicator, WorkerPool};
/// # async fn serve(servant: impl tce_runtime::Servant) -> Result<(), Box<dyn std::error::Error>> {
/// let communicator = Communicator::new();
/// let workers = WorkerPool::start(std::thread::available_parallelism()?.get())?;
/// let adapter = Adapter::listen(&communicator, "tcp://0.0.0.0:12002").await?;
/// adapter.add_servant(servant).serve_on(&workers).start();
/// communicator.wait_for_shutdown(Duration::from_secs(10)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct WorkerPool(Arc<[Worker]>);

/// One thread.
struct Worker {
    runtime: Handle,
    /// The connections that it serves.
    connections: AtomicUsize,
    /// Dropping it ends the thread.
    _end: oneshot::Sender<()>,
}

impl WorkerPool {
    /// Starts `threads` threads, at least one.
    ///
    /// # Errors
    /// The system refuses a thread, or the file descriptors of a runtime.
    pub fn start(threads: usize) -> io::Result<Self> {
        let workers = (0..threads.max(1)).map(Worker::start);
        Ok(Self(workers.collect::<io::Result<_>>()?))
    }

    /// Makes each thread poll for messages for up to `longest` before it sleeps:
    /// [`BusyPoll`]. Sensible where each has a core of its own.
    pub fn busy_poll(&self, longest: Duration) -> &Self {
        for runtime in self.runtimes() {
            runtime.spawn(async move {
                let _busy_poll = BusyPoll::begin(longest);
                pending::<()>().await;
            });
        }
        self
    }

    /// The runtimes of the threads, for example to spawn tasks there.
    pub fn runtimes(&self) -> impl ExactSizeIterator<Item = &Handle> {
        self.0.iter().map(|worker| &worker.runtime)
    }

    /// Waits until each thread has run a task; for ever if one is stuck or has ended. A
    /// health check puts a time limit on it.
    pub fn responded(&self) -> impl Future<Output = ()> + Send + use<> {
        let tasks = self.runtimes().map(|runtime| runtime.spawn(async {}));
        let tasks: Vec<_> = tasks.collect();
        async move {
            for task in tasks {
                if task.await.is_err() {
                    pending::<()>().await;
                }
            }
        }
    }

    /// Counts a connection for the thread that has the fewest.
    pub(crate) fn assign(&self) -> Assignment {
        let loads = self
            .0
            .iter()
            .map(|it| it.connections.load(Ordering::Relaxed));
        let least = loads
            .enumerate()
            .min_by_key(|(_, connections)| *connections);
        let worker = least.map_or(0, |(worker, _)| worker);
        self.0[worker].connections.fetch_add(1, Ordering::Relaxed);
        Assignment {
            pool: self.clone(),
            worker,
        }
    }
}

impl fmt::Debug for WorkerPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerPool")
            .field("threads", &self.0.len())
            .finish_non_exhaustive()
    }
}

impl Worker {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel();
        thread::Builder::new()
            .name(format!("tce-worker-{number}"))
            .spawn(move || {
                // Nothing is sent: the sender is dropped.
                let _ = runtime.block_on(ended);
                // A look-up of a host name may still run in a thread of its own.
                runtime.shutdown_background();
            })?;
        Ok(Self {
            runtime: handle,
            connections: AtomicUsize::new(0),
            _end: end,
        })
    }
}

/// A connection that is counted for one thread of a pool until it is dropped.
pub(crate) struct Assignment {
    pool: WorkerPool,
    worker: usize,
}

impl Assignment {
    /// The number of the thread, from 0.
    pub(crate) fn worker(&self) -> usize {
        self.worker
    }

    /// Where the connection's task runs.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.pool.0[self.worker].runtime
    }
}

impl Drop for Assignment {
    fn drop(&mut self) {
        let connections = &self.pool.0[self.worker].connections;
        connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn a_connection_goes_to_the_thread_with_the_fewest() {
        let pool = WorkerPool::start(3).unwrap();
        let mut all: Vec<_> = (0..6).map(|_| pool.assign()).collect();
        let workers: Vec<_> = all.iter().map(Assignment::worker).collect();
        assert_eq!(workers, [0, 1, 2, 0, 1, 2]);
        all.retain(|assignment| assignment.worker() != 1);
        assert_eq!(pool.assign().worker(), 1);
        assert_eq!([pool.assign().worker(), pool.assign().worker()], [1, 1]);
    }

    #[test]
    fn a_panic_in_a_task_leaves_its_thread_and_frees_its_count() {
        let pool = WorkerPool::start(1).unwrap();
        let (sender, receiver) = mpsc::sync_channel(2);
        let thread = move || sender.send(thread::current().id()).unwrap();
        let (first, second) = (thread.clone(), thread);
        let assignment = pool.assign();
        assignment.runtime().clone().spawn(async move {
            first();
            let _assignment = assignment;
            panic!("a panic of the test");
        });
        let panicked = receiver.recv_timeout(PATIENCE).unwrap();
        pool.assign().runtime().spawn(async move { second() });
        assert_eq!(receiver.recv_timeout(PATIENCE).unwrap(), panicked);
        while pool.0[0].connections.load(Ordering::Relaxed) > 0 {
            thread::yield_now();
        }
    }

    #[tokio::test]
    async fn a_thread_that_is_stuck_does_not_respond() {
        let pool = WorkerPool::start(2).unwrap();
        tokio::time::timeout(PATIENCE, pool.responded())
            .await
            .unwrap();
        let (sender, receiver) = mpsc::sync_channel::<()>(1);
        let stuck = pool.runtimes().nth(1).unwrap();
        stuck.spawn(async move { receiver.recv().unwrap() });
        let short = Duration::from_millis(100);
        assert!(tokio::time::timeout(short, pool.responded()).await.is_err());
        sender.send(()).unwrap();
        tokio::time::timeout(PATIENCE, pool.responded())
            .await
            .unwrap();
    }

    #[test]
    fn the_threads_end_with_the_last_clone_and_drop_their_tasks() {
        let pool = WorkerPool::start(2).unwrap();
        let (sender, receiver) = mpsc::sync_channel::<()>(1);
        for runtime in pool.busy_poll(Duration::ZERO).runtimes() {
            let sender = sender.clone();
            runtime.spawn(async move {
                let _sender = sender;
                pending::<()>().await;
            });
        }
        drop(sender);
        let clone = pool.clone();
        drop(pool);
        assert_eq!(receiver.try_recv(), Err(mpsc::TryRecvError::Empty));
        drop(clone);
        // The receiver fails once both tasks are dropped.
        assert_eq!(
            receiver.recv_timeout(PATIENCE),
            Err(mpsc::RecvTimeoutError::Disconnected)
        );
    }
}
