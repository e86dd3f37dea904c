//! The same declarations in three interface languages.

use std::fmt::{self, Write};

const MEMBERS: usize = 6;
const OPERATIONS: usize = 10;
/// There is one interface for each group of this many structs.
const STRUCTS_PER_INTERFACE: usize = 5;

/// The number of declarations.
#[derive(Clone, Copy)]
pub(crate) struct ModelSize {
    structs: usize,
    interfaces: usize,
}

impl ModelSize {
    pub(crate) fn of(structs: usize) -> Self {
        Self {
            structs,
            interfaces: structs / STRUCTS_PER_INTERFACE,
        }
    }
}

impl fmt::Display for ModelSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            structs,
            interfaces,
        } = self;
        write!(
            f,
            "{structs} structs of {MEMBERS} members, {interfaces} interfaces of {OPERATIONS} operations"
        )
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ModelLanguage {
    Idl,
    Proto,
    Slice,
}

impl ModelLanguage {
    pub(crate) const ALL: [Self; 3] = [Self::Idl, Self::Proto, Self::Slice];

    pub(crate) fn file(self, size: ModelSize) -> String {
        let ending = match self {
            Self::Idl => "idl",
            Self::Proto => "proto",
            Self::Slice => "ice",
        };
        format!("model{}.{ending}", size.structs)
    }

    pub(crate) fn text(self, size: ModelSize) -> String {
        let mut out = String::new();
        // Writing to a `String` never fails.
        let _ = match self {
            Self::Idl => idl(&mut out, size),
            Self::Proto => proto(&mut out, size),
            Self::Slice => slice(&mut out, size),
        };
        out
    }
}

/// Whether member `number` of struct `of` has the previous struct as its type. Structs are nested
/// up to ten levels deep, as in practice.
fn is_struct(of: usize, number: usize) -> bool {
    !of.is_multiple_of(10) && number == MEMBERS - 1
}

fn idl(out: &mut String, size: ModelSize) -> fmt::Result {
    const TYPES: [&str; 5] = ["string", "int", "long", "double", "bool"];
    writeln!(out, "module model {{")?;
    for of in 0..size.structs {
        writeln!(out, "\t/// Struct number {of}.\n\tstruct S{of} {{")?;
        for number in 0..MEMBERS {
            match is_struct(of, number) {
                true => writeln!(out, "\t\tS{} member{number};", of - 1)?,
                false => writeln!(out, "\t\t{} member{number};", TYPES[number % 5])?,
            }
        }
        writeln!(out, "\t}};\n\tsequence<S{of}> S{of}List;")?;
    }
    for of in 0..size.interfaces {
        writeln!(out, "\t/// Interface number {of}.\n\tinterface I{of} {{")?;
        for number in 0..OPERATIONS {
            let target = of * STRUCTS_PER_INTERFACE + number % STRUCTS_PER_INTERFACE;
            writeln!(
                out,
                "\t\tS{target} operation{number}(string name, S{target}List values);"
            )?;
        }
        writeln!(out, "\t}};")?;
    }
    writeln!(out, "}};")
}

fn proto(out: &mut String, size: ModelSize) -> fmt::Result {
    const TYPES: [&str; 5] = ["string", "int32", "int64", "double", "bool"];
    writeln!(out, "syntax = \"proto3\";\npackage model;")?;
    for of in 0..size.structs {
        writeln!(out, "// Struct number {of}.\nmessage S{of} {{")?;
        for number in 0..MEMBERS {
            let tag = number + 1;
            match is_struct(of, number) {
                true => writeln!(out, "  S{} member{number} = {tag};", of - 1)?,
                false => writeln!(out, "  {} member{number} = {tag};", TYPES[number % 5])?,
            }
        }
        // An rpc takes a single message, so that parameters need a message type.
        writeln!(
            out,
            "}}\nmessage S{of}Arguments {{\n  string name = 1;\n  repeated S{of} values = 2;\n}}"
        )?;
    }
    for of in 0..size.interfaces {
        writeln!(out, "// Interface number {of}.\nservice I{of} {{")?;
        for number in 0..OPERATIONS {
            let target = of * STRUCTS_PER_INTERFACE + number % STRUCTS_PER_INTERFACE;
            writeln!(
                out,
                "  rpc Operation{number}(S{target}Arguments) returns (S{target});"
            )?;
        }
        writeln!(out, "}}")?;
    }
    Ok(())
}

/// The declarations in [`idl`] are valid Slice, too.
fn slice(out: &mut String, size: ModelSize) -> fmt::Result {
    writeln!(out, "#pragma once")?;
    idl(out, size)
}
