//! The rules that a resolved program must keep.

mod declarations;
mod recursion;
mod indices;

use crate::diagnostic::Diagnostics;
use crate::resolve::ResolvedProgram;

/// Reports every rule that the program breaks.
pub(crate) fn all(program: &ResolvedProgram<'_>, sink: &mut Diagnostics) {
    declarations::check(program, sink);
    recursion::check(program, sink);
    indices::check(program, sink);
}
