//! Long texts that are fetched in parts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The longest part of a text, in bytes.
const PART_BYTES: usize = 512 * 1024;
/// How long a text is kept after its first part was fetched.
const KEPT_TIME: Duration = Duration::from_secs(60);
/// The most texts that are kept; the oldest gives way.
const MAX_KEPT: usize = 16;

/// The text that each connection fetches, by its peer.
#[derive(Debug, Default)]
pub(super) struct Renderings(Mutex<BTreeMap<String, Rendering>>);

#[derive(Debug)]
struct Rendering {
    /// What was asked for: the path and the style.
    question: (String, String),
    text: Arc<str>,
    rendered_at: Instant,
}

impl Renderings {
    /// Keeps a text that has several parts.
    pub(super) fn keep(&self, peer: &str, question: (String, String), text: &Arc<str>) {
        let mut kept = self.0.lock();
        kept.retain(|_, rendering| rendering.rendered_at.elapsed() < KEPT_TIME);
        if text.len() <= PART_BYTES {
            kept.remove(peer);
            return;
        }
        if kept.len() >= MAX_KEPT {
            let oldest = kept
                .iter()
                .min_by_key(|(_, rendering)| rendering.rendered_at);
            if let Some(oldest) = oldest.map(|(peer, _)| peer.clone()) {
                kept.remove(&oldest);
            }
        }
        let rendering = Rendering {
            question,
            text: Arc::clone(text),
            rendered_at: Instant::now(),
        };
        kept.insert(peer.to_owned(), rendering);
    }

    /// The text of the same question, unless it was asked too long ago.
    pub(super) fn find(&self, peer: &str, question: &(String, String)) -> Option<Arc<str>> {
        let kept = self.0.lock();
        let rendering = kept.get(peer)?;
        let is_fresh = rendering.rendered_at.elapsed() < KEPT_TIME;
        (is_fresh && rendering.question == *question).then(|| Arc::clone(&rendering.text))
    }

    pub(super) fn forget(&self, peer: &str) {
        self.0.lock().remove(peer);
    }
}

/// The part of a text with this number, from 0, and how many there are.
pub(super) fn part(text: &str, number: i32) -> Option<(&str, i32)> {
    let mut rest = text;
    let mut parts = Vec::new();
    while rest.len() > PART_BYTES {
        let is_boundary = |at: &usize| rest.is_char_boundary(*at);
        let end = (0..=PART_BYTES).rev().find(is_boundary).unwrap_or(0);
        let (part, behind) = rest.split_at(end);
        parts.push(part);
        rest = behind;
    }
    parts.push(rest);
    let part = parts.get(usize::try_from(number).ok()?)?;
    Some((part, i32::try_from(parts.len()).unwrap_or(i32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_together_are_the_text() {
        let text = "é".repeat(PART_BYTES);
        let (_, parts) = part(&text, 0).unwrap();
        assert_eq!(parts, 2);
        let joined: String = (0..parts).map(|at| part(&text, at).unwrap().0).collect();
        assert_eq!(joined, text);
        assert_eq!(part(&text, parts), None);
        assert_eq!(part(&text, -1), None);
        assert_eq!(part("", 0), Some(("", 1)));
    }
}
