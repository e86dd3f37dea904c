//! Times commands, and summarizes the times.

use std::{
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Result, bail};

/// One number for each round.
pub(crate) type Sample = Vec<f64>;

/// Runs a command to its end and returns the seconds that it took.
///
/// # Errors
/// The command failed; the error contains its standard error.
pub(crate) fn run(command: &mut Command) -> Result<f64> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let began = Instant::now();
    let output = command.output()?;
    let time = began.elapsed().as_secs_f64();
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(time)
}

/// The middle value, or the mean of the two middle values; NaN if there are no values.
pub(crate) fn median(sample: &[f64]) -> f64 {
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (
        sorted.len() % 2,
        sorted.get(middle),
        sorted.get(middle.wrapping_sub(1)),
    ) {
        (0, Some(upper), Some(lower)) => f64::midpoint(*upper, *lower),
        (_, Some(middle), _) => *middle,
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn median_of_odd_and_even_counts() {
        assert_eq!(
            median(&[3.0, 1.0, 2.0]).total_cmp(&2.0),
            std::cmp::Ordering::Equal
        );
        assert_eq!(
            median(&[4.0, 1.0]).total_cmp(&2.5),
            std::cmp::Ordering::Equal
        );
    }
}
