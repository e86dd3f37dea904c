//! The rules that a resolved program must keep, one rule a file.

mod duplicates;
mod empty;
mod endless;
mod indices;
mod inherited;
mod keys;
mod recursion;

use crate::diagnostic::Diagnostics;
use crate::resolve::Program;

/// Reports every rule that the program breaks.
pub(crate) fn all(program: &Program<'_>, sink: &mut Diagnostics) {
    empty::check(program, sink);
    duplicates::check(program, sink);
    inherited::check(program, sink);
    keys::check(program, sink);
    recursion::check(program, sink);
    endless::check(program, sink);
    indices::check(program, sink);
}
