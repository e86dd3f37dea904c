//! The same declarations in three languages.

use std::fmt::{self, Write};

const MEMBERS: usize = 6;
const OPERATIONS: usize = 10;
/// One interface to so many structs.
const STRUCTS_AN_INTERFACE: usize = 5;

/// How many declarations there are.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    structs: usize,
    interfaces: usize,
}

impl Size {
    pub(crate) fn of(structs: usize) -> Self {
        Self {
            structs,
            interfaces: structs / STRUCTS_AN_INTERFACE,
        }
    }
}

impl fmt::Display for Size {
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
pub(crate) enum Language {
    Idl,
    Proto,
    Slice,
}

impl Language {
    pub(crate) const ALL: [Self; 3] = [Self::Idl, Self::Proto, Self::Slice];

    pub(crate) fn file(self, size: Size) -> String {
        let ending = match self {
            Self::Idl => "idl",
            Self::Proto => "proto",
            Self::Slice => "ice",
        };
        format!("model{}.{ending}", size.structs)
    }

    pub(crate) fn text(self, size: Size) -> String {
        let mut out = String::new();
        // A string has no errors to write.
        let _ = match self {
            Self::Idl => idl(&mut out, size),
            Self::Proto => proto(&mut out, size),
            Self::Slice => slice(&mut out, size),
        };
        out
    }
}

/// Whether member `number` of struct `of` has the struct before as its type. Structs lie in one
/// another ten deep, as people write them.
fn is_struct(of: usize, number: usize) -> bool {
    !of.is_multiple_of(10) && number == MEMBERS - 1
}

fn idl(out: &mut String, size: Size) -> fmt::Result {
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
            let it = of * STRUCTS_AN_INTERFACE + number % STRUCTS_AN_INTERFACE;
            writeln!(
                out,
                "\t\tS{it} operation{number}(string name, S{it}List values);"
            )?;
        }
        writeln!(out, "\t}};")?;
    }
    writeln!(out, "}};")
}

fn proto(out: &mut String, size: Size) -> fmt::Result {
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
        // What an operation takes is a message of its own here.
        writeln!(
            out,
            "}}\nmessage S{of}Arguments {{\n  string name = 1;\n  repeated S{of} values = 2;\n}}"
        )?;
    }
    for of in 0..size.interfaces {
        writeln!(out, "// Interface number {of}.\nservice I{of} {{")?;
        for number in 0..OPERATIONS {
            let it = of * STRUCTS_AN_INTERFACE + number % STRUCTS_AN_INTERFACE;
            writeln!(
                out,
                "  rpc Operation{number}(S{it}Arguments) returns (S{it});"
            )?;
        }
        writeln!(out, "}}")?;
    }
    Ok(())
}

/// What this IDL took from Slice is Slice.
fn slice(out: &mut String, size: Size) -> fmt::Result {
    writeln!(out, "#pragma once")?;
    idl(out, size)
}
