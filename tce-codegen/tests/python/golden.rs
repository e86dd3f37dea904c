//! What the generator writes, feature by feature: `tests/golden/*.idl`, the `.py` files
//! beside them, and those of the blocking API in `blocking/`. `BLESS=1` writes them anew.

use tce_codegen::{Error, GeneratedFile, Options, PythonApi, PythonOptions, generate};

use crate::compare::compare;
use crate::features::{golden, golden_dir, tasks, tasks_dir};

fn code(api: PythonApi) -> Vec<GeneratedFile> {
    let mut options = Options::default();
    options.python = PythonOptions::default().api(api);
    golden("python", &options)
}

#[test]
fn every_feature_gives_the_recorded_code() {
    compare(&code(PythonApi::Asyncio), &golden_dir());
    compare(&code(PythonApi::Blocking), &golden_dir().join("blocking"));
}

#[test]
fn clients_of_tasks_are_as_recorded() {
    let mut options = Options::default();
    options.python = PythonOptions::default().tasks(true);
    compare(&tasks("python", &options), &tasks_dir());
}

#[test]
fn multi_calls_are_written_where_they_are_asked_for() {
    let mut options = Options::default();
    options.python = PythonOptions::default().multi_calls(true);
    let mut files = golden("python", &options);
    let written = [
        "across.py",
        "across_base.py",
        "inheritance.py",
        "parameters.py",
    ];
    files.retain(|file| written.iter().any(|name| file.path.as_os_str() == *name));
    compare(&files, &golden_dir().join("multi_calls"));
}

#[test]
fn the_same_idl_gives_the_same_code() {
    assert_eq!(code(PythonApi::Asyncio), code(PythonApi::Asyncio));
}

#[test]
fn a_name_of_the_idl_stays_when_declarations_are_added() {
    let names = |idl: &str| {
        let model = tce_idl::compile_str(idl).model.unwrap();
        let files = generate(&model, "python", &Options::default()).unwrap();
        let lines = files[0].contents.lines();
        let starts = ["class ", "    def ", "    async def "];
        let lines = lines.filter(|line| starts.iter().any(|start| line.starts_with(start)));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let first = "module m { interface I { void f(); }; struct f_async { int x; };";
    let old = names(&format!("{first} }}"));
    let new = names(&format!(
        "{first} interface J extends I {{ void f_oneway(); }}; struct IPrx {{ int x; }}; }}"
    ));
    for line in old {
        assert!(new.contains(&line), "{line} is not in {new:?}");
    }
    assert!(new.iter().any(|line| line == "class IPrx_:"), "{new:?}");
    let renamed = "    async def f_oneway_(";
    assert!(new.iter().any(|line| line.starts_with(renamed)), "{new:?}");
}

#[test]
fn skeletons_are_left_out_where_the_idl_says_so() {
    let idl = "module m {
        interface Base { void a(); };
        [skeleton_python=false] interface Without { void b(); };
        [skeleton_python=false] interface Both { void c(); };
        interface Derived extends Both { void d(); };
    }";
    let model = tce_idl::compile_str(idl).model.unwrap();
    let files = generate(&model, "python", &Options::default()).unwrap();
    let code = &files[0].contents;
    for class in ["Base(", "WithoutPrx(", "Both(", "Derived("] {
        assert!(code.contains(&format!("class {class}")), "{code}");
    }
    assert!(!code.contains("class Without("), "{code}");
    assert!(!code.contains("\"Without\""), "{code}");
}

#[test]
fn interfaces_that_need_each_others_modules_are_refused() {
    let idl = "module a { interface A extends b::B { void x(); }; interface C { void y(); }; }
        module b { interface B { void z(); }; interface D extends a::C { void w(); }; }";
    let model = tce_idl::compile_str(idl).model.unwrap();
    let error = generate(&model, "python", &Options::default()).unwrap_err();
    assert!(matches!(error, Error::Options { .. }));
    let message = error.to_string();
    assert!(
        message.contains("`a` and `b` extend each other's"),
        "{message}"
    );
}
