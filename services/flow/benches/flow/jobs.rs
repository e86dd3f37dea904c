//! Jobs that are processes.

use super::peer::{Kind, Peer};
use super::{Delays, Result};

/// How long the chain of jobs is: ecFlow starts one a second.
fn length(kind: Kind) -> usize {
    match kind {
        Kind::Tce => 300,
        Kind::Ecflow => 20,
    }
}

/// From the answer to a job's `complete` to the start of its successor's process.
pub(crate) fn successor_delays(kind: Kind) -> Result<Delays> {
    let peer = Peer::start(kind)?;
    let client = peer.program();
    let script = format!(
        "#!/bin/sh
echo start $(date +%%s%%N) >> %ECF_HOME%/times
export ECF_HOST=localhost ECF_PORT=%ECF_PORT% ECF_NAME=%ECF_NAME% ECF_PASS=%ECF_PASS% ECF_RID=$$
{client} --init=$$
{client} --complete
echo end $(date +%%s%%N) >> %ECF_HOME%/times
"
    );
    let mut definition = format!("suite s\n edit ECF_HOME '{}'\n", peer.home());
    let count = length(kind);
    for task in 0..count {
        peer.write(&format!("s/t{task}.ecf"), &script)?;
        definition += &format!(" task t{task}\n");
        if task > 0 {
            definition += &format!("  trigger t{} == complete\n", task - 1);
        }
    }
    peer.load(&(definition + "endsuite\n"))?;
    peer.client(&["--begin=s"])?;
    let times = peer.read("times", count * 2)?;
    let at = |word: &str| -> Vec<f64> {
        let lines = times.lines().filter_map(|line| line.strip_prefix(word));
        lines.filter_map(|time| time.trim().parse().ok()).collect()
    };
    let (starts, ends) = (at("start"), at("end"));
    // A successor may start before the client has told its shell that it is done.
    let delays = ends.iter().zip(starts.iter().skip(1));
    Delays::new(
        delays
            .map(|(end, start)| ((start - end) / 1e6).max(0.0))
            .collect(),
    )
}
