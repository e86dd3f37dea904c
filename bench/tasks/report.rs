//! The table of a run: medians over the rounds, and ratios to the floor and to Celery.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

/// Two quantiles of a time, in microseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Latency {
    /// The quantiles of times in nanoseconds.
    pub(crate) fn of(times: &Histogram<u64>) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a time far below 2^53 ns")]
        let micros = |quantile| times.value_at_quantile(quantile) as f64 / 1000.0;
        Self {
            p50: micros(0.5),
            p99: micros(0.99),
        }
    }
}

/// The values of each row and side, one a round.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<String>,
    values: BTreeMap<(String, &'static str), Vec<f64>>,
}

impl Table {
    fn add(&mut self, row: String, side: &'static str, value: f64) {
        eprintln!("  {row}: {side} {value:.0}");
        if !self.rows.contains(&row) {
            self.rows.push(row.clone());
        }
        self.values.entry((row, side)).or_default().push(value);
    }

    pub(crate) fn rate(&mut self, name: &str, side: &'static str, rate: f64) {
        self.add(name.to_owned(), side, rate);
    }

    pub(crate) fn latency(&mut self, name: &str, side: &'static str, latency: Latency) {
        self.add(format!("{name}, p50 µs"), side, latency.p50);
        self.add(format!("{name}, p99 µs"), side, latency.p99);
    }

    pub(crate) fn memory(&mut self, name: &str, side: &'static str, kib: u64) {
        #[expect(clippy::cast_precision_loss, reason = "memory far below 2^53 KiB")]
        self.add(format!("{name}, KiB"), side, kib as f64);
    }

    /// The median of a row's side.
    fn median(&self, row: &str, side: &'static str) -> Option<f64> {
        let mut values = self.values.get(&(row.to_owned(), side))?.clone();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }

    /// The median of the ratios of the rounds.
    fn ratio(&self, row: &str, side: &'static str) -> Option<f64> {
        let own = self.values.get(&(row.to_owned(), "tce"))?;
        let other = self.values.get(&(row.to_owned(), side))?;
        let mut ratios: Vec<_> = own
            .iter()
            .zip(other)
            .map(|(own, other)| own / other)
            .collect();
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied()
    }

    pub(crate) fn print(&self) {
        let number = |value: Option<f64>| value.map_or("–".to_owned(), |it| format!("{it:.0}"));
        let ratio = |value: Option<f64>| value.map_or("–".to_owned(), |it| format!("{it:.2}"));
        println!("| medians | lapin | tce | Celery | tce to lapin | tce to Celery |");
        println!("| --- | --- | --- | --- | --- | --- |");
        for row in &self.rows {
            println!(
                "| {row} | {} | {} | {} | {} | {} |",
                number(self.median(row, "lapin")),
                number(self.median(row, "tce")),
                number(self.median(row, "celery")),
                ratio(self.ratio(row, "lapin")),
                ratio(self.ratio(row, "celery")),
            );
        }
    }
}
