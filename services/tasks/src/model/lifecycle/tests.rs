//! Random histories of a task keep the promises of the model.

use proptest::prelude::*;

use super::*;
use crate::model::Backoff;

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

fn entry(options: &TaskOptions) -> Entry {
    let task = Task {
        id: ID.to_owned(),
        group: "group".to_owned(),
        operation: "add".to_owned(),
        body: b"[1,2]".to_vec(),
        options: options.to_pairs(),
        ..Task::default()
    };
    Entry::new(task, 0, 0).unwrap()
}

fn options(retries: u32) -> TaskOptions {
    TaskOptions {
        retries,
        backoff: Backoff::None,
        ..TaskOptions::default()
    }
}

fn run(entry: &mut Entry, now: i64) -> Lease {
    match entry.begin(now, 30_000) {
        Begin::Run(lease) => *lease,
        Begin::Ended => panic!("{:?}", entry.record),
    }
}

fn outcome(status: Status) -> Outcome {
    Outcome {
        status: status.number(),
        error: "failed".to_owned(),
        retries: -1,
        pause_ms: -1,
        ..Outcome::default()
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Begin,
    Finish { lease: usize, status: u8 },
    Extend { lease: usize },
    LoseLease,
    Abort,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Begin),
        3 => (0_usize..8, 0_u8..8).prop_map(|(lease, status)| Step::Finish { lease, status }),
        1 => (0_usize..8).prop_map(|lease| Step::Extend { lease }),
        1 => Just(Step::LoseLease),
        1 => Just(Step::Abort),
    ]
}

proptest! {
    #[test]
    fn any_history_keeps_the_promises(
        retries in 0_u32..4,
        expires in proptest::option::of(0_u64..40),
        steps in proptest::collection::vec(step(), 0..40),
    ) {
        let mut entry = entry(&TaskOptions { expires_at_ms: expires, ..options(retries) });
        let (mut leases, mut failures, mut deaths) = (Vec::<Lease>::new(), 0, 0);
        for (now, step) in (1..).zip(steps) {
            let before = entry.clone();
            match step {
                Step::Begin if matches!(entry.phase, Phase::Queued { .. }) => {
                    if let Begin::Run(lease) = entry.begin(now, 30_000) {
                        // Nothing begins after its expiry or while an abort is requested.
                        prop_assert!(expires.is_none_or(|time| now <= signed(time)));
                        prop_assert!(!before.is_abort_requested(now));
                        // The fence grows.
                        if let Some(last) = leases.last() {
                            prop_assert!(
                                (lease.attempt, lease.delivery) > (last.attempt, last.delivery)
                            );
                        }
                        leases.push(*lease);
                    }
                }
                Step::Begin => {}
                Step::Finish { lease, status } => if let Some(lease) = leases.get(lease) {
                    let outcome = Outcome { status, retries: -1, pause_ms: -1, ..Outcome::default() };
                    let answer = entry.finish(lease, outcome, now, 0, 0);
                    let is_present = leases.last() == Some(lease) && before.has_lease(lease);
                    prop_assert_eq!(answer != FinishAnswer::Stale, is_present);
                    failures += u32::from(is_present && status == 2);
                    if answer == FinishAnswer::Stale {
                        prop_assert_eq!(&entry, &before);
                    }
                },
                Step::Extend { lease } => if let Some(lease) = leases.get(lease) {
                    entry.extend(lease, 40, "note", now);
                },
                Step::LoseLease => {
                    deaths += i32::from(matches!(entry.phase, Phase::Leased { .. }));
                    entry.lose_lease(now, 0);
                }
                Step::Abort => { entry.abort(now, 5); }
            }
            // A final record never changes, and no attempt goes beyond the retries.
            if before.status().is_final() {
                prop_assert_eq!(&entry, &before);
            }
            prop_assert!(failures <= retries + 1);
            prop_assert!(deaths <= MAX_DEATHS);
            prop_assert_eq!(
                entry.status().is_final(),
                matches!(entry.phase, Phase::Ended { .. } | Phase::Dead)
            );
            let mut bytes = Vec::new();
            entry.marshal(&mut Writer::new(&mut bytes));
            prop_assert_eq!(Entry::decode(&bytes), Some(entry.clone()));
        }
    }

    #[test]
    fn foreign_bytes_are_no_entry_and_no_panic(bytes: Vec<u8>) {
        let _ = Entry::decode(&bytes);
    }
}

#[test]
fn a_task_that_always_fails_runs_once_more_than_its_retries() {
    let mut entry = entry(&options(3));
    for attempt in 0..4 {
        let lease = run(&mut entry, attempt);
        entry.finish(&lease, outcome(Status::WaitingRetry), attempt, 0, 0);
    }
    assert_eq!((entry.status(), entry.record.retries), (Status::Failure, 3));
    assert_eq!(entry.record.error, "failed");
}

#[test]
fn a_worker_that_wakes_up_late_does_not_overwrite_the_outcome() {
    let mut entry = entry(&options(3));
    let old = run(&mut entry, 0);
    entry.lose_lease(30_000, 0);
    let new = run(&mut entry, 30_001);
    let late = entry.finish(&old, outcome(Status::Failure), 30_002, 0, 0);
    assert_eq!(late, FinishAnswer::Stale);
    assert_eq!(
        entry.finish(&new, outcome(Status::Success), 30_003, 0, 0),
        FinishAnswer::Ended
    );
    assert_eq!(entry.status(), Status::Success);
}

#[test]
fn a_task_that_ends_three_workers_is_dead_until_it_is_requeued() {
    let mut entry = entry(&options(3));
    for now in 0..3 {
        run(&mut entry, now);
        entry.lose_lease(now, 0);
    }
    assert_eq!(
        (entry.phase, entry.status()),
        (Phase::Dead, Status::Failure)
    );
    assert_eq!(entry.record.error, "worker died 3 times");
    assert!(entry.requeue(4, 0));
    assert_eq!(run(&mut entry, 5).task.body, b"[1,2]");
}

#[test]
fn graceful_restarts_are_neither_attempts_nor_deaths() {
    let mut entry = entry(&options(0));
    for now in 0..10 {
        let lease = run(&mut entry, now);
        entry.finish(&lease, outcome(Status::Sent), now, 0, 0);
    }
    assert_eq!(
        (entry.status(), entry.record.deaths, entry.attempt),
        (Status::Sent, 0, 0)
    );
}

#[test]
fn what_is_too_large_is_refused() {
    let mut task = entry(&options(3)).task;
    task.body = vec![0; MAX_BODY + 1];
    assert!(matches!(
        Entry::new(task.clone(), 0, 0),
        Err(Refusal::TooLarge("body", ..))
    ));
    task.group = "g".repeat(MAX_NAME + 1);
    assert!(matches!(
        Entry::new(task, 0, 0),
        Err(Refusal::Name("group"))
    ));
}

#[test]
fn a_record_that_is_not_kept_still_prevents_a_second_run() {
    let mut entry = entry(&TaskOptions {
        result_expires: Some(std::time::Duration::ZERO),
        ..options(0)
    });
    let lease = run(&mut entry, 0);
    assert!(entry.is_readable(0));
    entry.finish(&lease, outcome(Status::Success), 1, 0, 0);
    assert!(!entry.is_readable(1));
    assert_eq!(
        entry.phase,
        Phase::Ended {
            until_ms: 1 + FENCE_MS
        }
    );
}

#[test]
fn a_servant_may_change_its_retries_and_the_pause() {
    let mut entry = entry(&options(0));
    let lease = run(&mut entry, 0);
    let outcome = Outcome {
        retries: 1,
        pause_ms: 70,
        ..outcome(Status::WaitingRetry)
    };
    assert_eq!(entry.finish(&lease, outcome, 10, 5, 0), FinishAnswer::Again);
    assert_eq!(
        entry.phase,
        Phase::Queued {
            due_ms: 80,
            sequence: 5
        }
    );
}

proptest! {
    #[test]
    fn a_delivery_begins_only_what_is_later_than_all_before(
        deliveries in proptest::collection::vec((0_i32..3, 0_i32..8, 0_u8..8), 0..30),
    ) {
        let mut entry = entry(&options(3));
        let mut last = (0, 0);
        for (now, (attempt, delivery, status)) in (1..).zip(deliveries) {
            let before = entry.clone();
            match entry.arrive(attempt, delivery, now, 0) {
                Arrival::Run(lease) => {
                    prop_assert!((attempt, delivery) > last);
                    prop_assert_eq!((lease.attempt, lease.delivery), (attempt, delivery));
                    prop_assert!(entry.record.deaths < MAX_DEATHS);
                    last = (attempt, delivery);
                    if status == 4 {
                        entry.finish(&lease, outcome(Status::Success), now, 0, 0);
                        prop_assert!(before.is_older_than(&entry));
                    }
                }
                Arrival::Ended => prop_assert_eq!(entry.phase, Phase::Dead),
                Arrival::Stale => {
                    let is_later = (attempt, delivery) > (before.attempt, before.delivery);
                    prop_assert!(before.status().is_final() || !is_later);
                    prop_assert_eq!(&entry, &before);
                }
            }
        }
    }
}
