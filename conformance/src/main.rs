//! The conformance suite: every language of TCE as client and as server of every
//! other, over every transport. README.md describes it.
//!
//! A module imports only from the modules before it in this list.

mod protocol;

mod testee;

mod values;

mod matrix;

mod case;

mod wire_peer;

mod tools;

mod process;

mod setting;

mod steps;

mod run;

use std::{error::Error, path::PathBuf, process::ExitCode, sync::Arc};

use clap::Parser;

#[derive(Parser)]
struct Args {
    #[arg(long)]
    only: Vec<matrix::Selection>,
    #[arg(long)]
    case: Vec<String>,
    testee: Option<String>,
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args = Args::parse();
    if args.testee.is_some() {
        testee::run().await?;
        return Ok(ExitCode::SUCCESS);
    }
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut cases = case::load(&folder)?;
    cases.retain(|case| args.case.is_empty() || args.case.contains(&case.name));
    use clap::ValueEnum;
    let cells: Vec<_> = matrix::pairs()
        .into_iter()
        .flat_map(|pair| {
            matrix::Transport::value_variants()
                .iter()
                .map(move |&transport| matrix::Cell { pair, transport })
        })
        .filter(|cell| matrix::obstacle(*cell).is_none())
        .filter(|cell| args.only.is_empty() || args.only.iter().any(|it| it.has(*cell)))
        .collect();
    let languages: Vec<_> = cells
        .iter()
        .flat_map(|cell| [cell.pair.client, cell.pair.server])
        .collect();
    let mq = cells.iter().any(|cell| {
        matches!(
            cell.transport,
            matrix::Transport::Mq | matrix::Transport::GatewayMq
        )
    });
    let tools = tools::Tools::prepare(&languages, mq).await?;
    let results = run::run(Arc::new(tools), Arc::new(cases), &cells, 2, |result| {
        println!("{} {} {:?} {:?}", result.cell, result.case, result.time, result.failure);
    })
    .await;
    println!("{}", results.len());
    Ok(ExitCode::SUCCESS)
}
