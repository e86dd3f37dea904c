//! The conformance suite: every language of TCE as client and as server of every
//! other, over every transport. README.md describes it.
//!
//! A module imports only from the modules before it in this list.

mod protocol;

mod testee;

mod random;

mod values;

mod matrix;

mod case;

mod recorded;

mod wire_peer;

mod tools;

mod process;

mod setting;

mod steps;

mod run;

mod expectation;

mod report;

#[cfg(test)]
mod tests;

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Instant,
};

use clap::{Parser, Subcommand, ValueEnum};

use self::{
    case::Case,
    expectation::KnownFailures,
    matrix::{Cell, Selection, Transport, obstacle, pairs},
    report::Report,
    tools::Tools,
};

const CRATE: &str = env!("CARGO_MANIFEST_DIR");
/// Pairs that run at the same time, for each core: most of a case is waiting.
const JOBS_PER_CORE: usize = 2;

/// Calls every language of TCE from every other, over every transport, and prints the matrix
///
/// Python packages are installed to target/python-venv and npm packages to
/// runtimes/typescript/node_modules if they are missing. RabbitMQ, Node.js and Chromium have to
/// be there; scripts/test.sh installs them.
#[derive(Parser)]
#[command(after_help = AFTER_HELP)]
struct Args {
    /// Run only these cells, for example python:typescript:ws; `*` or nothing stands for any
    #[arg(long, value_name = "CLIENT:SERVER:TRANSPORT")]
    only: Vec<Selection>,
    /// Run only the case of this name
    #[arg(long, value_name = "NAME")]
    case: Vec<String>,
    /// Print the cells and cases, and run none
    #[arg(long)]
    list: bool,
    /// Write the results as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the results as JUnit's XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Pairs that run at the same time; by default two for each core
    #[arg(long, value_name = "NUMBER")]
    jobs: Option<usize>,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// Carries out the commands on the standard input, as the testee for Rust
    #[command(hide = true)]
    Testee,
}

const AFTER_HELP: &str = "\
Clients: rust, python, typescript, browser, and wire, which is this program itself.
Servers: rust, python, typescript, wire.
Transports: tcp, ssl, ws, wss, mq, gateway, gateway-mq.

Examples:
  cargo run -p tce-conformance -- --only python:typescript
  cargo run -p tce-conformance -- --only '*:*:mq' --case twoway
  cargo run -p tce-conformance -- --junit target/conformance.xml

Exit status: 0 every case has ended as expected, 1 one has not, 2 wrong arguments.";

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match args.role {
        Some(Role::Testee) => testee::run().await.map(|()| true).map_err(Into::into),
        None => run(&args).await,
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether all is as expected.
async fn run(args: &Args) -> Result<bool, Box<dyn Error>> {
    let mut cases = case::load(&Path::new(CRATE).join("cases"))?;
    cases.extend(recorded::cases(&Path::new(CRATE).join("../tests"))?);
    let known = KnownFailures::load(&Path::new(CRATE).join("known-failures.yaml"), &cases)?;
    let cases = selected_cases(args, cases)?;
    let cells = selected_cells(args, &cases);
    if args.list {
        list(&cells, &cases);
        return Ok(true);
    }
    let began = Instant::now();
    let is_mq = |cell: &Cell| matches!(cell.transport, Transport::Mq | Transport::GatewayMq);
    let peers: Vec<_> = cells
        .iter()
        .flat_map(|cell| [cell.pair.client, cell.pair.server])
        .collect();
    let tools = Tools::prepare(&peers, cells.iter().any(is_mq)).await?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.unwrap_or(cores * JOBS_PER_CORE);
    let results = run::run(Arc::new(tools), Arc::new(cases), &cells, jobs, |result| {
        if let Some(failure) = &result.failure {
            eprintln!("{} {} fails: {failure}", result.cell, result.case);
        }
    })
    .await?;
    let report = Report {
        results: &results,
        known: &known,
        time: began.elapsed(),
    };
    print!("{}", report.table());
    if let Some(path) = &args.json {
        fs::write(path, serde_json::to_vec_pretty(&report.json())?)?;
    }
    if let Some(path) = &args.junit {
        fs::write(path, report.junit())?;
    }
    Ok(report.is_as_expected())
}

fn selected_cases(args: &Args, mut cases: Vec<Case>) -> Result<Vec<Case>, String> {
    let is_known = |name: &&String| cases.iter().any(|case| case.name == **name);
    if let Some(unknown) = args.case.iter().find(|name| !is_known(name)) {
        return Err(format!("there is no case `{unknown}`: --list shows them"));
    }
    cases.retain(|case| args.case.is_empty() || args.case.contains(&case.name));
    Ok(cases)
}

/// The cells that have a case to run.
fn selected_cells(args: &Args, cases: &[Case]) -> Vec<Cell> {
    let transports = Transport::value_variants();
    pairs()
        .into_iter()
        .flat_map(|pair| {
            transports
                .iter()
                .map(move |&transport| Cell { pair, transport })
        })
        .filter(|cell| obstacle(*cell).is_none())
        .filter(|cell| args.only.is_empty() || args.only.iter().any(|it| it.has(*cell)))
        .filter(|cell| run::cases_of(cases, *cell).next().is_some())
        .collect()
}

fn list(cells: &[Cell], cases: &[Case]) {
    for cell in cells {
        println!("{cell}");
    }
    println!();
    for case in cases {
        println!("{:44}{}", case.name, case.about);
        if let Some(only) = &case.only {
            let transports: Vec<_> = only.transports.iter().map(Transport::to_string).collect();
            let transports = transports.join(", ");
            println!("{:44}Only {transports}: {}.", "", only.because);
        }
    }
}
