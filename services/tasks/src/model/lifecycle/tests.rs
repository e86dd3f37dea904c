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

/// The options of a workflow whose steps have the same settings.
fn chain(length: usize, retries: u32, expires: Option<u64>) -> TaskOptions {
    let mut pairs = TaskOptions {
        expires_at_ms: expires,
        ..options(retries)
    }
    .to_pairs();
    pairs.remove("run_at");
    let step = WorkflowStep {
        group: "group".to_owned(),
        operation: "add".to_owned(),
        run_after_ms: 0,
        options: pairs,
    };
    TaskOptions {
        steps: if length > 1 {
            vec![step; length]
        } else {
            Vec::new()
        },
        ..options(retries)
    }
}

fn fence(lease: &Lease) -> (i32, i32, i32) {
    (lease.step, lease.attempt, lease.delivery)
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
enum Move {
    Begin,
    Finish { lease: usize, status: u8 },
    Extend { lease: usize },
    LoseLease,
    Abort,
}

fn step() -> impl Strategy<Value = Move> {
    prop_oneof![
        3 => Just(Move::Begin),
        3 => (0_usize..8, 0_u8..8).prop_map(|(lease, status)| Move::Finish { lease, status }),
        1 => (0_usize..8).prop_map(|lease| Move::Extend { lease }),
        1 => Just(Move::LoseLease),
        1 => Just(Move::Abort),
    ]
}

proptest! {
    #[test]
    fn any_history_keeps_the_promises(
        retries in 0_u32..4,
        expires in proptest::option::of(0_u64..40),
        length in 1_usize..4,
        steps in proptest::collection::vec(step(), 0..40),
    ) {
        let chain = chain(length, retries, expires);
        let mut entry = entry(&TaskOptions { expires_at_ms: expires, ..chain });
        let (mut leases, mut failures, mut deaths) = (Vec::<Lease>::new(), 0, 0);
        for (now, step) in (1..).zip(steps) {
            let before = entry.clone();
            match step {
                Move::Begin if matches!(entry.phase, Phase::Queued { .. }) => {
                    if let Begin::Run(lease) = entry.begin(now, 30_000) {
                        // Nothing begins after its expiry or while an abort is requested.
                        prop_assert!(expires.is_none_or(|time| now <= signed(time)));
                        prop_assert!(!before.is_abort_requested(now));
                        // The fence grows.
                        if let Some(last) = leases.last() {
                            prop_assert!(fence(&lease) > fence(last));
                            prop_assert!(lease.delivery > last.delivery);
                        }
                        leases.push(*lease);
                    }
                }
                Move::Begin => {}
                Move::Finish { lease, status } => if let Some(lease) = leases.get(lease) {
                    let outcome = Outcome { status, retries: -1, pause_ms: -1, ..Outcome::default() };
                    let answer = entry.finish(lease, outcome, now, 0, 0);
                    let is_present = leases.last() == Some(lease) && before.has_lease(lease);
                    prop_assert_eq!(answer != FinishAnswer::Stale, is_present);
                    failures += u32::from(is_present && status == 2);
                    if entry.step > before.step {
                        prop_assert_eq!((status, entry.step), (4, before.step + 1));
                        (failures, deaths) = (0, 0);
                    }
                    if answer == FinishAnswer::Stale {
                        prop_assert_eq!(&entry, &before);
                    }
                },
                Move::Extend { lease } => if let Some(lease) = leases.get(lease) {
                    entry.extend(lease, 40, "note", now);
                },
                Move::LoseLease => {
                    deaths += i32::from(matches!(entry.phase, Phase::Leased { .. }));
                    entry.lose_lease(now, 0);
                }
                Move::Abort => { entry.abort(now, 5); }
            }
            // The steps before the present one have succeeded, and none after it has begun.
            for (index, step) in (0..).zip(&entry.record.steps) {
                prop_assert_eq!(index < entry.step, step.status == "success" && index != entry.step);
                prop_assert!(index <= entry.step || step.status == "waiting");
            }
            prop_assert_eq!(entry.status() == Status::Success, entry.record.steps.last().map_or(
                entry.status() == Status::Success, |last| last.status == "success"));
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
            let mut message = before.clone();
            message.attempt = attempt;
            match entry.arrive(&message, delivery, now, 0) {
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

#[test]
fn a_step_has_the_result_of_the_one_before() {
    let mut entry = entry(&chain(2, 3, None));
    let lease = run(&mut entry, 0);
    assert_eq!(entry.record.steps[0].status, "running");
    let returned = Outcome {
        result: b"9".to_vec(),
        content_type: "application/json; type=\"long\"".to_owned(),
        ..outcome(Status::Success)
    };
    let answer = entry.finish(&lease, returned.clone(), 10, 1, 0);
    assert_eq!(
        (answer, entry.status()),
        (FinishAnswer::Again, Status::Running)
    );
    let next = run(&mut entry, 11);
    assert_eq!(
        (next.step, next.attempt, next.task.body.as_slice()),
        (1, 0, &b"9"[..])
    );
    // The outcome of the first step, told again, is stale.
    let again = entry.finish(&lease, returned.clone(), 12, 1, 0);
    assert_eq!(again, FinishAnswer::Stale);
    assert_eq!(entry.finish(&next, returned, 13, 1, 0), FinishAnswer::Ended);
    assert_eq!(entry.status(), Status::Success);
}

#[test]
fn a_message_of_a_later_step_makes_up_for_a_record_that_was_not_written() {
    let mut entry = entry(&chain(2, 3, None));
    run(&mut entry, 0);
    let mut message = entry.clone();
    message.step = 1;
    message.task.operation = "sq".to_owned();
    let arrival = entry.arrive(&message, 2, 1, 0);
    assert!(matches!(arrival, Arrival::Run(lease) if lease.step == 1));
    assert_eq!(
        (entry.record.deaths, entry.record.operation.as_str()),
        (0, "sq")
    );
    message.step = 0;
    assert_eq!(entry.arrive(&message, 3, 2, 0), Arrival::Stale);
}

#[test]
fn a_result_beyond_the_limit_of_a_body_ends_a_workflow() {
    let mut entry = entry(&chain(2, 3, None));
    let lease = run(&mut entry, 0);
    let large = Outcome {
        result: vec![b'1'; MAX_BODY + 1],
        ..outcome(Status::Success)
    };
    assert_eq!(entry.finish(&lease, large, 1, 1, 0), FinishAnswer::Ended);
    assert_eq!(entry.status(), Status::Failure);
}

#[test]
fn a_unique_key_is_held_until_the_end_and_at_most_an_hour_after_the_task_was_due() {
    let mut entry = entry(&TaskOptions {
        unique: Some("key".to_owned()),
        run_at_ms: 5_000,
        ..chain(2, 3, None)
    });
    assert_eq!(entry.claim(), Some(("key", 5_000 + CLAIM_MS)));
    let lease = run(&mut entry, 6_000);
    assert_eq!(entry.claim(), Some(("key", 6_000 + CLAIM_MS)));
    entry.finish(&lease, outcome(Status::Success), 7_000, 1, 0);
    assert_eq!(entry.claim(), Some(("key", 7_000 + CLAIM_MS)));
    let lease = run(&mut entry, 8_000);
    entry.finish(&lease, outcome(Status::Success), 9_000, 1, 0);
    assert_eq!(entry.claim(), Some(("key", 0)));
}
