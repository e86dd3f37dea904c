//! The text that goes out, and the check of what comes back.

use anyhow::{Result, ensure};

/// Contents are compared for this many first answers, and for each of that rank afterwards;
/// lengths always. So a check costs next to nothing beside a call.
const CHECKED: u64 = 64;

/// The text of one caller's calls. Each caller has its own, so that an answer that went to the
/// wrong caller is noticed.
#[derive(Debug, Clone)]
pub(crate) struct Payload {
    text: String,
}

impl Payload {
    pub(crate) fn new(caller: usize, length: usize) -> Self {
        let pattern = format!("caller {caller:04} says ");
        Self {
            text: pattern.chars().cycle().take(length).collect(),
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether the content of the `nth` answer is to be compared.
    pub(crate) const fn compares(nth: u64) -> bool {
        nth < CHECKED || nth.is_multiple_of(CHECKED)
    }

    /// Checks the `nth` answer.
    ///
    /// # Errors
    /// It is not what was sent.
    pub(crate) fn check(&self, nth: u64, answer: &[u8]) -> Result<()> {
        ensure!(
            answer.len() == self.text.len(),
            "answer {nth} has {} bytes, {} were sent",
            answer.len(),
            self.text.len()
        );
        ensure!(
            !Self::compares(nth) || answer == self.text.as_bytes(),
            "answer {nth} is not the text that was sent"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_a_wrong_length_in_any_answer() {
        let payload = Payload::new(0, 16);
        assert!(payload.check(65, &payload.text().as_bytes()[1..]).is_err());
    }

    #[test]
    fn notices_the_answer_of_another_caller() {
        let (own, other) = (Payload::new(1, 16), Payload::new(2, 16));
        assert!(own.check(0, own.text().as_bytes()).is_ok());
        assert!(own.check(0, other.text().as_bytes()).is_err());
        assert!(own.check(640, other.text().as_bytes()).is_err());
    }
}
