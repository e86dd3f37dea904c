//! Changes of enums. A new member breaks nothing: a peer that does not know its number
//! keeps the number.

use crate::diagnostic::{Breaks, Code, Diagnostic};
use crate::model::Enum;

/// Compares both versions of the enum `name`.
pub(super) fn compare(name: &str, (old, new): (&Enum, &Enum), found: &mut Vec<Diagnostic>) {
    for was in &old.members {
        if let Some(is) = new.members.iter().find(|it| it.name == was.name) {
            if is.number == was.number {
                continue;
            }
            let message = format!(
                "the number of `{}` of enum `{name}` changed from {} to {}",
                was.name, was.number, is.number
            );
            let diagnostic = Diagnostic::new(Code::EnumNumberChanged, message)
                .at(is.span, format!("{} now", is.number))
                .note(was.span, format!("{} before", was.number))
                .help(format!("write `{} = {}`", was.name, was.number));
            found.push(diagnostic.breaks(Breaks::WIRE));
            continue;
        }
        let renamed = new.members.iter().find(|it| it.number == was.number);
        let is_new = |name: &str| old.members.iter().all(|it| it.name != name);
        found.push(match renamed.filter(|it| is_new(&it.name)) {
            Some(is) => {
                let message = format!(
                    "`{}` of enum `{name}` is renamed to `{}`",
                    was.name, is.name
                );
                Diagnostic::new(Code::EnumMemberRenamed, message)
                    .at(is.span, "the same number")
                    .note(was.span, "renamed from this")
                    .fix(
                        format!("rename it back to `{}`", was.name),
                        is.span,
                        &was.name,
                    )
                    .breaks(Breaks::SOURCE)
            }
            None => {
                let message = format!("`{}` of enum `{name}` is removed", was.name);
                let help = format!(
                    "keep it as long as programs use it; do not reuse the number {} afterwards",
                    was.number
                );
                Diagnostic::new(Code::EnumMemberRemoved, message)
                    .at(new.span, format!("no longer has `{}`", was.name))
                    .note(was.span, "it was declared here")
                    .help(help)
                    .breaks(Breaks::SOURCE)
            }
        });
    }
}
