//! The diagnostics of garbage are few and short, and the work grows linearly with its length.
//!
//! The parser counts its steps for the whole process, so this test has its own.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use tce_idl::{Compilation, compile_str, render};

/// The most steps of the parser for one byte; the worst piece takes less than half.
const STEPS_A_BYTE: usize = 200;

const GARBAGE: &[&str] = &[
    "<",
    "{",
    "}",
    "[",
    "(",
    "\"",
    "/*",
    "*/",
    "//",
    "#",
    "é",
    "；",
    "::",
    ";",
    "a ",
    "1 ",
    "import ",
    "import a ",
    "import a;",
    "module ",
    "module m{",
    "struct ",
    "struct S{",
    "interface I extends ",
    "sequence<",
    "dictionary<",
    "int x ",
    "a b;",
    "module m{struct S{",
    "f(a b,",
    "[index=1]",
    "[a=",
    "/**/",
    "///\n",
    "\n",
    "struct S{int x",
];

/// The message for a text on which the parser gave up.
const GAVE_UP: &str = "this file can't be parsed";

const STARTS: &[&str] = &[
    "",
    "module m {",
    "module m { struct S {",
    "module m { interface I { void f(",
];

#[test]
fn garbage_has_few_diagnostics_after_linear_work() {
    work_for(0);
    assert_eq!(compile_str("module m { }").diagnostics[0].message, GAVE_UP);
    work_for(1 << 10);
    for start in STARTS {
        for piece in GARBAGE {
            garbage(start, piece, 1 << 10);
        }
    }
    // Problems outside of the parser only show in long texts.
    work_for(64 << 10);
    for piece in ["<", "{"] {
        garbage("module m {", piece, 64 << 10);
    }
}

/// Makes the parser give up after the steps for `bytes` bytes.
fn work_for(bytes: usize) {
    pest::set_call_limit(NonZeroUsize::new(bytes * STEPS_A_BYTE + 1));
}

fn garbage(start: &str, piece: &str, bytes: usize) {
    let text = format!("{start}{}", piece.repeat(bytes / piece.len()));
    let before = Instant::now();
    let Compilation {
        diagnostics,
        sources,
        ..
    } = compile_str(&text);
    let rendered = render::human(&diagnostics, &sources, false);
    let json = render::json(&diagnostics, &sources);
    let took = before.elapsed();
    assert!(
        diagnostics.iter().all(|it| it.message != GAVE_UP),
        "{start}{piece} is too much work"
    );
    assert!(
        took < Duration::from_secs(20),
        "{start}{piece} took {took:?}"
    );
    assert!(
        rendered.len() + json.len() < 1_000_000,
        "{start}{piece} says {} bytes",
        rendered.len()
    );
}
