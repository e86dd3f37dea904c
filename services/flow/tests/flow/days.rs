//! Five hundred days of times against a model that looks at every minute of every day.

use tce_flow::calendar::Date;
use tce_flow::state::State;

use crate::common::{NOON, Simulation};

const DAYS: i64 = 500;

/// One rule, as text and as a plain question: does the task run at this minute of this day?
struct Rule {
    text: &'static str,
    runs: fn(Date, i64) -> bool,
}

/// All of these run again and again, so that the answer depends on day and minute alone.
const RULES: [Rule; 6] = [
    Rule {
        text: "cron 08:00",
        runs: |_, minute| minute == 480,
    },
    Rule {
        text: "cron -w 1,5 06:00 07:00 00:30",
        runs: |date, minute| matches!(date.weekday(), 1 | 5) && matches!(minute, 360 | 390 | 420),
    },
    Rule {
        text: "cron -d 1,31 -m 1,2,3,10 23:59",
        runs: |date, minute| {
            let (_, month, day) = date.civil();
            matches!(day, 1 | 31) && matches!(month, 1 | 2 | 3 | 10) && minute == 1439
        },
    },
    Rule {
        text: "date 29.*.*",
        runs: |date, minute| date.civil().2 == 29 && minute == 0,
    },
    Rule {
        text: "date 15.*.*; date *.2.2027; time 10:00 11:00 00:30",
        runs: |date, minute| {
            let (year, month, day) = date.civil();
            (day == 15 || (month == 2 && year == 2027)) && matches!(minute, 600 | 630 | 660)
        },
    },
    Rule {
        text: "cron -w 0 00:00 00:02 00:01",
        runs: |date, minute| date.weekday() == 0 && minute < 3,
    },
];

#[test]
fn five_hundred_days_agree_with_a_plain_model() {
    for rule in RULES {
        let mut simulation =
            Simulation::begun(&format!("suite s\n task t\n {}\nendsuite", rule.text));
        let mut found = Vec::new();
        // The clock goes from one moment at which something can change to the next.
        while let Some(next) = simulation.machine.next_wake() {
            if next > NOON + DAYS * 86_400 {
                break;
            }
            simulation.now = (next + 59) / 60 * 60;
            simulation.apply(tce_flow::machine::Command::Tick).unwrap();
            if simulation.state("/s/t") == State::Submitted {
                found.push(simulation.now / 60);
                simulation.start("/s/t");
                simulation.complete("/s/t");
            }
        }
        let first = NOON / 60 + 1;
        let minutes = first..=NOON / 60 + DAYS * 1440;
        let expected: Vec<_> = minutes
            .filter(|minute| {
                (rule.runs)(
                    Date::from_days(minute.div_euclid(1440)),
                    minute.rem_euclid(1440),
                )
            })
            .collect();
        assert!(!expected.is_empty());
        assert_eq!(found, expected, "{}", rule.text);
    }
}
