//! Versions of packages and their order.

use std::{cmp::Ordering, fmt, str::FromStr};

/// The most bytes of a version.
const MAX_SIZE: usize = 64;

/// A version: dotted numbers, then perhaps `-suffix` and `+build`.
///
/// The numbers are compared one by one, a missing one is 0; a version with a suffix is below the same
/// one without, and suffixes are ordered as in SemVer; the build is ignored. Equal versions may have
/// different texts, `1.0` and `1.0.0`.
///
/// ```
/// use tce_frame::version::Version;
///
/// let version = |text: &str| text.parse::<Version>();
/// assert!(version("1.10")? > version("1.9")?);
/// assert!(version("1.10-rc1")? < version("1.10")?);
/// assert_eq!(version("1.0")?, version("1.0.0+linux")?);
/// # Ok::<(), tce_frame::version::VersionError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Version {
    text: String,
    /// Without zeros at the end.
    numbers: Vec<u64>,
    /// The parts of the suffix; empty without one.
    suffix: Vec<Identifier>,
}

/// A part of a suffix. Numbers are below words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(u64),
    Word(String),
}

/// Why a text is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a version: write dotted numbers, such as `1.0`, perhaps with a suffix, `1.1-rc1`"
)]
pub struct VersionError(String);

impl Version {
    /// The text as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let refused = || VersionError(text.escape_debug().take(MAX_SIZE).collect());
        if text.len() > MAX_SIZE {
            return Err(refused());
        }
        let (release, build) = text.split_once('+').unwrap_or((text, "0"));
        let (numbers, suffix) = match release.split_once('-') {
            Some((numbers, suffix)) => (numbers, Some(suffix)),
            None => (release, None),
        };
        let mut numbers = numbers
            .split('.')
            .map(number)
            .collect::<Option<Vec<_>>>()
            .ok_or_else(refused)?;
        while numbers.last() == Some(&0) {
            numbers.pop();
        }
        let suffix = suffix.map(|suffix| suffix.split('.').map(identifier).collect());
        let suffix: Option<Vec<_>> = suffix.unwrap_or(Some(Vec::new()));
        let is_build = build.split('.').all(is_word);
        match suffix {
            Some(suffix) if is_build => Ok(Self {
                text: text.to_owned(),
                numbers,
                suffix,
            }),
            _ => Err(refused()),
        }
    }
}

fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

fn is_word(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !text.is_empty() && text.bytes().all(is_allowed)
}

fn identifier(text: &str) -> Option<Identifier> {
    match number(text) {
        Some(number) => Some(Identifier::Number(number)),
        None => is_word(text).then(|| Identifier::Word(text.to_owned())),
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        // A missing suffix is above each one that is present.
        let suffix = match (self.suffix.is_empty(), other.suffix.is_empty()) {
            (false, false) => self.suffix.cmp(&other.suffix),
            (is_release, is_other_release) => is_release.cmp(&is_other_release),
        };
        self.numbers.cmp(&other.numbers).then(suffix)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(text: &str) -> Version {
        text.parse().expect(text)
    }

    #[test]
    fn versions_are_ordered_by_their_numbers_and_suffixes() {
        let ascending = [
            "0.9",
            "1.0-1",
            "1.0-2",
            "1.0-10",
            "1.0-alpha",
            "1.0-alpha.1",
            "1.0-beta",
            "1.0",
            "1.0.1",
            "1.9",
            "1.10-rc1",
            "1.10",
            "2",
        ];
        for pair in ascending.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
        assert_eq!(version("1"), version("1.0.0+20261130.abc"));
    }

    #[test]
    fn other_texts_are_refused() {
        let long = "1".repeat(65);
        for text in [
            "",
            "v1",
            "1.",
            ".1",
            "1..2",
            "1.0-",
            "1.0-a..b",
            "1.0+",
            "1,0",
            "1.0 ",
            "-1",
            "99999999999999999999",
            &long,
            "1.0\n",
        ] {
            assert!(text.parse::<Version>().is_err(), "{text:?}");
        }
    }

    fn any_version() -> impl Strategy<Value = String> {
        "[0-9]{1,3}(\\.[0-9]{1,3}){0,3}(-[0-9a-b]{1,2}(\\.[0-9a-b]{1,2}){0,2})?(\\+[a-z]{1,3})?"
    }

    proptest! {
        #[test]
        fn the_order_is_total(a in any_version(), b in any_version(), c in any_version()) {
            let (a, b, c) = (version(&a), version(&b), version(&c));
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            if a <= b && b <= c {
                prop_assert!(a <= c);
            }
        }

        #[test]
        fn no_text_panics(text in ".{0,70}") {
            let _ = text.parse::<Version>();
        }
    }
}
