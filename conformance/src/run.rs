//! Runs cases in cells: pairs at the same time, the cells of a pair one after another.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::task::JoinError;

use crate::{
    case::{Case, Only, Role},
    matrix::{Cell, Pair, Peer},
    setting::{Failure, Setting},
    steps,
    tools::Tools,
};

/// How one case ended in one cell.
#[derive(Debug)]
pub(crate) struct CaseResult {
    pub(crate) cell: Cell,
    pub(crate) case: String,
    pub(crate) time: Duration,
    /// Why it failed, if it did.
    pub(crate) failure: Option<String>,
}

/// The cases that a cell runs.
pub(crate) fn cases_of(cases: &[Case], cell: Cell) -> impl Iterator<Item = &Case> {
    let driver_is = match cell.pair {
        Pair {
            client: Peer::Wire, ..
        } => Some(Role::Client),
        Pair {
            server: Peer::Wire, ..
        } => Some(Role::Server),
        Pair { .. } => None,
    };
    cases.iter().filter(move |case| {
        let is_on = |it: &Only| it.transports.contains(&cell.transport);
        case.driver_is == driver_is && case.only.as_ref().is_none_or(is_on)
    })
}

/// Runs the cases of all cells with this many pairs at the same time; `report` is told
/// each result.
///
/// # Errors
/// The driver itself has panicked.
pub(crate) async fn run(
    tools: Arc<Tools>,
    cases: Arc<Vec<Case>>,
    cells: &[Cell],
    jobs: usize,
    report: impl Fn(&CaseResult) + Send + Sync + 'static,
) -> Result<Vec<CaseResult>, JoinError> {
    let mut pairs: Vec<_> = cells.iter().map(|cell| cell.pair).collect();
    pairs.dedup();
    let waiting: VecDeque<Vec<Cell>> = pairs
        .into_iter()
        .map(|pair| {
            cells
                .iter()
                .copied()
                .filter(|cell| cell.pair == pair)
                .collect()
        })
        .collect();
    let waiting = Arc::new(Mutex::new(waiting));
    let report = Arc::new(report);
    let workers: Vec<_> = (0..jobs.max(1))
        .map(|_| {
            let (tools, cases) = (Arc::clone(&tools), Arc::clone(&cases));
            let (waiting, report) = (Arc::clone(&waiting), Arc::clone(&report));
            tokio::spawn(async move {
                let mut results = Vec::new();
                loop {
                    let next = waiting
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .pop_front();
                    let Some(cells) = next else { break results };
                    for result in run_pair(&tools, &cases, &cells, &*report).await {
                        results.push(result);
                    }
                }
            })
        })
        .collect();
    let mut results = Vec::new();
    for worker in workers {
        results.extend(worker.await?);
    }
    results.sort_by_key(|result| cells.iter().position(|cell| *cell == result.cell));
    Ok(results)
}

async fn run_pair(
    tools: &Tools,
    cases: &[Case],
    cells: &[Cell],
    report: &(impl Fn(&CaseResult) + Sync),
) -> Vec<CaseResult> {
    let mut results = Vec::new();
    let mut setting = None;
    for &cell in cells {
        for case in cases_of(cases, cell) {
            let began = Instant::now();
            let outcome = run_case(tools, &mut setting, case, cell).await;
            let mut failure = None;
            if let Err(cause) = outcome {
                let mut is_broken = cause.breaks_testee();
                let mut text = cause.to_string();
                // A testee that has ended, or hangs, fails this case and not the next one.
                if let (false, Some(setting)) = (is_broken, &mut setting)
                    && let Err(cause) = setting.forget().await
                {
                    is_broken = true;
                    text = format!("{text}\n{cause}");
                }
                failure = Some(text);
                if let Some(broken) = setting.take_if(|_| is_broken) {
                    broken.stop().await;
                }
            }
            let result = CaseResult {
                cell,
                case: case.name.clone(),
                time: began.elapsed(),
                failure,
            };
            report(&result);
            results.push(result);
        }
    }
    if let Some(setting) = setting {
        setting.stop().await;
    }
    results
}

async fn run_case<'a>(
    tools: &'a Tools,
    setting: &mut Option<Setting<'a>>,
    case: &Case,
    cell: Cell,
) -> Result<(), Failure> {
    let setting = match setting {
        Some(setting) => setting,
        None => setting.insert(Setting::start(tools, cell.pair)?),
    };
    // On the heap: the futures of a gateway within are deeply nested.
    Box::pin(steps::run(setting, case, cell)).await
}
