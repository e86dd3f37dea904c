//! The text of calls, and the check of answers.

use anyhow::{Result, ensure};

/// The content is compared in the first 64 answers and in every 64th answer after those, the length
/// in all answers. This keeps the cost of checks negligible beside a call.
const COMPARE_INTERVAL: u64 = 64;

/// The text of one caller's calls. Each caller has its own text, so that an answer delivered to the
/// wrong caller is detected.
#[derive(Debug, Clone)]
pub(crate) struct Payload {
    text: String,
}

impl Payload {
    /// A text of `length` bytes.
    pub(crate) fn new(caller: usize, length: usize) -> Self {
        let pattern = format!("caller {caller:04} says ");
        Self {
            text: pattern.chars().cycle().take(length).collect(),
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether the content of the `nth` answer is compared.
    pub(crate) const fn should_compare(nth: u64) -> bool {
        nth < COMPARE_INTERVAL || nth.is_multiple_of(COMPARE_INTERVAL)
    }

    /// Checks the `nth` answer.
    ///
    /// # Errors
    /// The answer is not the text that was sent.
    pub(crate) fn check(&self, nth: u64, answer: &[u8]) -> Result<()> {
        ensure!(
            answer.len() == self.text.len(),
            "answer {nth} has {} bytes, {} were sent",
            answer.len(),
            self.text.len()
        );
        ensure!(
            !Self::should_compare(nth) || answer == self.text.as_bytes(),
            "answer {nth} is not the text that was sent"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_length_of_any_answer_is_an_error() {
        let payload = Payload::new(0, 16);
        assert!(payload.check(65, &payload.text().as_bytes()[1..]).is_err());
    }

    #[test]
    fn answer_of_another_caller_is_an_error() {
        let (own, other) = (Payload::new(1, 16), Payload::new(2, 16));
        assert!(own.check(0, own.text().as_bytes()).is_ok());
        assert!(own.check(0, other.text().as_bytes()).is_err());
        assert!(own.check(640, other.text().as_bytes()).is_err());
    }
}
