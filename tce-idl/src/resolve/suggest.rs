//! What somebody may have meant by the name of a type.

use crate::diagnostic::nearest;

/// Builtin types, as TCE spells them.
const BUILTIN: &[&str] = &[
    "byte", "bool", "short", "int", "long", "float", "double", "string", "void",
];

/// Builtin types as others spell them.
const ELSEWHERE: &[(&str, &[&str])] = &[
    (
        "byte",
        &[
            "u8", "uint8", "uint8_t", "octet", "char", "uchar", "ubyte", "i8", "int8", "sbyte",
        ],
    ),
    ("bool", &["boolean", "bit", "logical"]),
    (
        "short",
        &[
            "i16", "int16", "int16_t", "u16", "uint16", "ushort", "smallint",
        ],
    ),
    (
        "int",
        &[
            "i32", "int32", "int32_t", "u32", "uint32", "uint", "integer", "sint32", "fixed32",
            "number",
        ],
    ),
    (
        "long",
        &[
            "i64",
            "int64",
            "int64_t",
            "u64",
            "uint64",
            "ulong",
            "bigint",
            "size_t",
            "longlong",
            "timestamp",
        ],
    ),
    ("float", &["f32", "float32", "single", "real"]),
    ("double", &["f64", "float64", "decimal"]),
    (
        "string",
        &["str", "text", "wstring", "varchar", "std::string", "utf8"],
    ),
    ("void", &["none", "unit", "null", "nil"]),
];

/// The builtin type that `name` was meant to be, misspelt or from another language.
pub(super) fn builtin(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    let elsewhere = ELSEWHERE
        .iter()
        .find(|(_, names)| names.contains(&lower.as_str()));
    elsewhere
        .map(|(ours, _)| *ours)
        .or_else(|| BUILTIN.iter().find(|ours| **ours == lower).copied())
}

/// The builtin type that is spelt almost like `name`.
pub(super) fn near_builtin(name: &str) -> Option<String> {
    nearest(name, BUILTIN)
}
