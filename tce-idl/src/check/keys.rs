//! The key of a dictionary is a byte, bool, short, int, long or string.

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::model::Type;
use crate::resolve::Program;

pub(super) fn check(program: &Program<'_>, sink: &mut Diagnostics) {
    for (it, from) in program
        .model
        .dictionaries
        .iter()
        .zip(&program.origin.dictionaries)
    {
        let why = match it.key {
            Type::Byte | Type::Bool | Type::Short | Type::Int | Type::Long | Type::String => {
                continue;
            }
            Type::Float | Type::Double => "two floating-point numbers are rarely equal",
            Type::Struct(_) => "it is a struct",
            Type::Sequence(_) => "it is a sequence",
            Type::Dictionary(_) => "it is a dictionary",
        };
        let message = format!("`{}` can't be the key of a dictionary", from.key.name.text);
        let diagnostic = Diagnostic::new(Code::DictionaryKey, message).at(from.key.span, why);
        sink.push(diagnostic.help("a key is a `byte`, `bool`, `short`, `int`, `long` or `string`"));
    }
}
