//! What somebody may have meant.

/// The candidate that is spelt most like `name`, if any is close enough.
///
/// ```
/// let near = tce_idl::diagnostic::nearest("includ", &["lint", "include"]);
/// assert_eq!(near.as_deref(), Some("include"));
/// ```
#[must_use]
pub fn nearest<S: AsRef<str>>(name: &str, candidates: &[S]) -> Option<String> {
    let lower = name.to_lowercase();
    let allowed = (name.chars().count() / 3).clamp(1, 3);
    let scored = candidates
        .iter()
        .map(AsRef::as_ref)
        .filter_map(|candidate| {
            // A difference in length alone can be too large: then there is no need to look closer.
            let close = candidate.len().abs_diff(name.len()) <= 4 * allowed;
            let distance =
                close.then(|| strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()))?;
            (distance <= allowed).then_some((distance, candidate))
        });
    scored.min().map(|(_, candidate)| candidate.to_owned())
}

/// Whether the last words of `full`, which dots part, are `name`.
#[must_use]
pub fn is_end(full: &str, name: &str) -> bool {
    full.strip_suffix(name)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The end of one of `names` that is spelt most like `name`: what was meant is
/// spelt with as many words as what was given.
///
/// ```
/// let near = tce_idl::diagnostic::nearest_end("Server.ehco", &["test.Server.echo"]);
/// assert_eq!(near.as_deref(), Some("Server.echo"));
/// ```
#[must_use]
pub fn nearest_end<S: AsRef<str>>(name: &str, names: &[S]) -> Option<String> {
    let words = name.split('.').count();
    let ends = names.iter().map(AsRef::as_ref).filter_map(|full| {
        let skip = full.split('.').count().checked_sub(words)?;
        full.splitn(skip + 1, '.').last()
    });
    nearest(name, &ends.collect::<Vec<_>>())
}
