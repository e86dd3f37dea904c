//! The queue in a file, beside commits of the same number of rows by redb.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Result;
use redb::{Database, Durability, TableDefinition};
use tce_tasks::{Tasks, TasksConfig};

use crate::{
    IN_FLIGHT,
    floor::rate,
    ours,
    report::Table,
    stamp,
    task::EchoTasks,
    worker::{WorkerProcess, resident},
};

const ROWS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("rows");
/// About the bytes of a stored task.
const ROW: usize = 300;

pub(crate) async fn measure(count: usize, delayed: usize, table: &mut Table) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let name = "sends/s to a file, 64 in flight";
    let commits = commit(&folder.path().join("floor.redb"), count)?;
    // The column of the floor has the loop of redb in this row.
    table.rate(name, "lapin", commits);
    let file = folder.path().join("tasks.redb");
    let tasks = Tasks::open(TasksConfig::embedded(file)).await?;
    let began = Instant::now();
    ours::send_all(&tasks, count, IN_FLIGHT).await?;
    table.rate(name, "tce", rate(count, began));

    let mut command = Command::new(std::env::current_exe()?);
    command.args(["embedded", &delayed.to_string()]);
    let mut process = WorkerProcess::run(command)?;
    let kib = process.line()?.trim().parse()?;
    table.memory("process with delayed tasks in a file", "tce", kib);
    Ok(())
}

/// Commits rows, 64 in each transaction; returns how many in a second.
fn commit(file: &std::path::Path, count: usize) -> Result<f64> {
    let database = Database::create(file)?;
    let began = Instant::now();
    for first in (0..count).step_by(IN_FLIGHT) {
        let mut transaction = database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut rows = transaction.open_table(ROWS)?;
            for row in first..(first + IN_FLIGHT).min(count) {
                rows.insert(u128::try_from(row)?, [0; ROW].as_slice())?;
            }
        }
        transaction.commit()?;
    }
    Ok(rate(count, began))
}

/// The process that holds delayed tasks in a file, and prints its memory.
pub(crate) async fn fill(delayed: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("tasks.redb");
    let tasks = Tasks::open(TasksConfig::embedded(file)).await?;
    println!("ready");
    let echo = EchoTasks::new(&tasks);
    let mut left = delayed;
    while left > 0 {
        let batch = left.min(IN_FLIGHT);
        let sends = (0..batch).map(|_| async {
            let task = echo.echo(&stamp()?).run_after(Duration::from_secs(3600));
            task.send().await?;
            anyhow::Ok(())
        });
        futures::future::try_join_all(sends).await?;
        left -= batch;
    }
    println!("{}", resident("self")?);
    Ok(())
}
