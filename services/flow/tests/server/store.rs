//! Journal and snapshots: what was confirmed is there after any end, or the server says what is not.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::StorageBackend;
use redb::backends::InMemoryBackend;
use tce_flow::calendar::Moment;
use tce_flow::machine::{Command, Machine, Record};
use tce_flow::store::{Source, Store, StoreError, check, recover_to};

use super::common::{Fixture, PATIENCE, text};

const DEFINITION: &str = "suite s\n task t1\n  label info ''\n task t2\n  trigger t1 == complete\n";

/// A machine whose records go to a store, and the snapshots of all its states.
struct Writer {
    store: Store,
    machine: Machine,
    sequence: u64,
    states: Vec<Vec<u8>>,
}

impl Writer {
    fn new(source: &Source) -> Self {
        let opened = Store::open(source).unwrap();
        let states = vec![opened.machine.snapshot().unwrap()];
        Self {
            store: opened.store,
            machine: opened.machine,
            sequence: opened.summary.last,
            states,
        }
    }

    fn apply(&mut self, command: Command) -> Result<(), StoreError> {
        let record = Record {
            sequence: self.sequence + 1,
            moment: Moment::utc(1_796_040_000),
            user: "tester".into(),
            secret: [7; 16],
            command,
        };
        assert!(self.machine.apply(&record).unwrap().is_changed);
        self.store.commit(&[record])?;
        self.sequence += 1;
        self.states.push(self.machine.snapshot().unwrap());
        Ok(())
    }

    fn load(&mut self) {
        let text = DEFINITION.into();
        self.apply(Command::Load { text, force: false }).unwrap();
    }

    /// Suspends and resumes a task, so many times in all.
    fn toggle(&mut self, count: u64) {
        for _ in 0..count {
            self.toggle_once().unwrap();
        }
    }

    fn toggle_once(&mut self) -> Result<(), StoreError> {
        let paths = vec!["/s/t1".into()];
        let task = self.machine.tree().find("/s/t1").unwrap();
        self.apply(if self.machine.tree()[task].is_suspended {
            Command::Resume(paths)
        } else {
            Command::Suspend(paths)
        })
    }
}

/// A store with a snapshot after record 5 and 15 records, as it is without being closed.
fn unclosed(path: &Path) -> Vec<Vec<u8>> {
    let work = path.with_extension("work");
    let mut writer = Writer::new(&Source::File(work.clone()));
    writer.load();
    writer.toggle(4);
    writer.store.write_snapshot(&writer.machine, 5).unwrap();
    writer.toggle(10);
    fs::copy(&work, path).unwrap();
    writer.states
}

fn state_of(path: &Path) -> Result<(Vec<u8>, u64), StoreError> {
    let opened = Store::open(&Source::File(path.to_owned()))?;
    Ok((opened.machine.snapshot().unwrap(), opened.summary.last))
}

#[test]
fn a_store_gives_the_state_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.redb");
    let states = unclosed(&path);
    for _ in 0..2 {
        assert_eq!(state_of(&path).unwrap(), (states[15].clone(), 15));
    }
    // Sessions that write.
    for session in 0..4 {
        let mut writer = Writer::new(&Source::File(path.clone()));
        writer.toggle(12);
        let state = writer.states.pop().unwrap();
        drop(writer);
        let last = 15 + 12 * (session + 1);
        assert_eq!(state_of(&path).unwrap(), (state, last));
    }
    let summary = check(&path).unwrap();
    assert_eq!((summary.snapshot, summary.last), (5, 63));
    assert_eq!(summary.notes, Vec::<String>::new());
}

#[test]
fn a_store_has_one_user() {
    let folder = tempfile::tempdir().unwrap();
    let source = Source::File(folder.path().join("s.redb"));
    let opened = Store::open(&source).unwrap();
    assert!(matches!(Store::open(&source), Err(StoreError::InUse(_))));
    let path = folder.path().join("s.redb");
    assert!(matches!(check(&path), Err(StoreError::InUse(_))));
    drop(opened);
    assert!(Store::open(&source).is_ok());
}

#[test]
fn a_snapshot_that_is_cut_off_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.redb");
    let mut writer = Writer::new(&Source::File(path.clone()));
    writer.load();
    let edits: String = (0..20_000)
        .map(|at| format!(" edit V{at} '{}'\n", "x".repeat(100)))
        .collect();
    let text = format!("suite large\n{edits}").into();
    writer.toggle(1);
    writer.apply(Command::Load { text, force: false }).unwrap();
    writer.store.begin_snapshot(&writer.machine, 3).unwrap();
    // Parts of it go with the next records.
    writer.toggle(2);
    assert!(writer.store.is_writing_snapshot());
    let copy = folder.path().join("copy.redb");
    fs::copy(&path, &copy).unwrap();
    for _ in 0..2 {
        assert_eq!(state_of(&copy).unwrap(), (writer.states[5].clone(), 5));
    }
    assert_eq!(check(&copy).unwrap().snapshot, 0);
    while writer.store.is_writing_snapshot() {
        writer.toggle(1);
    }
    let state = writer.states.pop().unwrap();
    drop(writer);
    assert_eq!(state_of(&path).unwrap().0, state);
    assert_eq!(check(&path).unwrap().snapshot, 3);
    // Nothing is left of its creation.
    let names = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(names, 2);
}

#[test]
fn two_snapshots_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.redb");
    let mut writer = Writer::new(&Source::File(path.clone()));
    writer.load();
    for _ in 0..5 {
        writer.toggle(10);
        let (machine, sequence) = (&writer.machine, writer.sequence);
        writer.store.write_snapshot(machine, sequence).unwrap();
    }
    writer.toggle(3);
    let state = writer.states.pop().unwrap();
    drop(writer);
    assert_eq!(state_of(&path).unwrap(), (state, 54));
    // What only an older snapshot could lead to is gone.
    assert!(recover_to(&path, 40).is_err());
    let (old, summary) = recover_to(&path, 45).unwrap();
    assert_eq!((summary.snapshot, summary.last), (41, 45));
    assert_eq!(check(&path).unwrap().last, 45);
    assert_eq!(check(&old).unwrap().last, 54);
}

/// A file of which a part is missing, or in which a byte is another one.
#[test]
fn damage_is_survived_or_reported() {
    // Hundreds of files that are synced: in memory where the system has a file system for that.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let folder = folder.unwrap();
    let path = folder.path().join("s.redb");
    let states = unclosed(&path);
    let unclosed = fs::read(&path).unwrap();
    // Opened and closed.
    assert_eq!(state_of(&path).unwrap().1, 15);
    let closed = fs::read(&path).unwrap();
    let damaged = folder.path().join("damaged.redb");
    let mut refused = 0;
    for (file, is_closed) in [(unclosed, false), (closed, true)] {
        let used = file.iter().rposition(|byte| *byte != 0).unwrap();
        let step = used / 100 + 1;
        for at in (0..used).step_by(step).chain((0..400).step_by(8)) {
            let mut bytes = file.clone();
            bytes[at] ^= 1 << (at % 8);
            refused += usize::from(is_refused(
                &format!("flip {at}"),
                &damaged,
                &bytes,
                &states,
                is_closed,
            ));
        }
        for length in (0..used).step_by(used / 20 + 1) {
            refused += usize::from(is_refused(
                &format!("cut at {length}"),
                &damaged,
                &file[..length],
                &states,
                is_closed,
            ));
        }
    }
    assert!(refused > 20, "{refused}");
}

/// Whether a store is refused. If not, it has the last state; or, where it was not closed, the one
/// before, which looks like a last write that was not complete, and says so.
fn is_refused(what: &str, path: &Path, bytes: &[u8], states: &[Vec<u8>], is_closed: bool) -> bool {
    fs::write(path, bytes).unwrap();
    let opened = match Store::open(&Source::File(path.to_owned())) {
        Ok(opened) => opened,
        Err(StoreError::Damaged { intact, .. }) => {
            assert_eq!(fs::read(path).unwrap(), bytes, "the file is left alone");
            if let Some(intact) = intact {
                let (old, _) = recover_to(path, intact).unwrap();
                let recovered = state_of(path).unwrap();
                assert_eq!(recovered, (states[to_index(intact)].clone(), intact));
                fs::remove_file(old).unwrap();
            }
            return true;
        }
        Err(_) => return true,
    };
    let last = opened.summary.last;
    if bytes.is_empty() {
        return false;
    }
    let is_announced = opened
        .summary
        .notes
        .iter()
        .any(|it| it.contains("not been closed"));
    let notes = &opened.summary.notes;
    assert!(
        last == 15 || (last == 14 && !is_closed && is_announced),
        "{what}: {last} of 15, closed: {is_closed}, {notes:?}"
    );
    assert_eq!(opened.machine.snapshot().unwrap(), states[to_index(last)]);
    false
}

fn to_index(number: u64) -> usize {
    usize::try_from(number).unwrap()
}

/// Storage that has so many writes left.
#[derive(Debug)]
struct SmallDisk {
    memory: InMemoryBackend,
    left: AtomicU64,
}

impl SmallDisk {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            memory: InMemoryBackend::new(),
            left: AtomicU64::new(u64::MAX),
        })
    }

    fn take(&self) -> io::Result<()> {
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.left.store(left - 1, Ordering::Relaxed);
        Ok(())
    }
}

impl StorageBackend for SmallDisk {
    fn len(&self) -> io::Result<u64> {
        self.memory.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.memory.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.take()?;
        self.memory.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.take()?;
        self.memory.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.take()?;
        self.memory.write(offset, data)
    }
}

#[test]
fn a_disk_that_fails_at_any_write_loses_nothing_confirmed() {
    for left in 0..40 {
        let disk = SmallDisk::new();
        let mut writer = Writer::new(&Source::Storage(Arc::clone(&disk) as _));
        writer.load();
        disk.left.store(left, Ordering::Relaxed);
        while writer.sequence < 100 && writer.toggle_once().is_ok() {}
        let confirmed = writer.sequence;
        let (machine, summary) = writer.store.read_again().unwrap();
        assert!(summary.last == confirmed || summary.last == confirmed + 1);
        if summary.last == confirmed {
            let states = &writer.states[to_index(confirmed)];
            assert_eq!(machine.snapshot().unwrap(), *states);
        }
        disk.left.store(u64::MAX, Ordering::Relaxed);
        let (machine, summary) = writer.store.reopen().unwrap();
        writer.machine = machine;
        writer.sequence = summary.last;
        writer.toggle(3);
    }
}

#[tokio::test]
async fn a_full_disk_halts_the_server_until_it_is_restarted() {
    let disk = SmallDisk::new();
    let source = Source::Storage(Arc::clone(&disk) as _);
    let mut fixture = Fixture::with(|options| options.store = source).await;
    fixture.begin(DEFINITION).await;
    let job = fixture.next_job().await;
    text(fixture.jobs.started(&job, &[]).await.unwrap());
    disk.left.store(0, Ordering::Relaxed);
    let paths = ["/s/t2".to_owned()];
    let refused = fixture.control.suspend(&paths).await.unwrap();
    assert_eq!((refused[0].code, &*refused[0].effect), (60, "none"));
    assert!(refused[0].text.contains("HALTED"), "{}", refused[0].text);
    let statistics = text(fixture.query.statistics("").await.unwrap());
    assert!(statistics.contains("HALTED"), "{statistics}");
    let held = fixture.jobs.completed(&job, &[]).await.unwrap();
    assert_eq!((held.code, &*held.text), (60, "server is HALTED"));
    let refused = fixture.control.state("running").await.unwrap();
    assert_eq!(refused.code, 60, "{}", refused.text);
    disk.left.store(u64::MAX, Ordering::Relaxed);
    text(fixture.control.state("running").await.unwrap());
    text(fixture.jobs.completed(&job, &[]).await.unwrap());
    // The runner is asked to look at the job that had run.
    let resumed = fixture.orders.recv().await.unwrap();
    assert!(format!("{resumed:?}").contains("Resume"), "{resumed:?}");
    assert_eq!(fixture.next_job().await.path, "/s/t2");
}

#[tokio::test]
async fn a_restarted_server_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = Source::File(folder.path().join("s.redb"));
    let mut fixture = Fixture::with(|options| options.store = store.clone()).await;
    fixture.begin(DEFINITION).await;
    let job = fixture.next_job().await;
    text(fixture.jobs.started(&job, &[]).await.unwrap());
    text(fixture.jobs.set_label(&job, "info", "here").await.unwrap());
    let before = text(
        fixture
            .query
            .query("label", "/s/t1:info", "")
            .await
            .unwrap(),
    );
    fixture.server.shutdown().await;
    let mut fixture = Fixture::with(|options| options.store = store).await;
    assert!(fixture.server.summary().snapshot > 0);
    let after = text(
        fixture
            .query
            .query("label", "/s/t1:info", "")
            .await
            .unwrap(),
    );
    assert_eq!(before, after);
    let resumed = tokio::time::timeout(PATIENCE, fixture.orders.recv()).await;
    let resumed = format!("{:?}", resumed.unwrap().unwrap());
    assert!(resumed.contains("is_started: true"), "{resumed}");
    text(fixture.jobs.completed(&job, &[]).await.unwrap());
    assert_eq!(fixture.next_job().await.path, "/s/t2");
}
