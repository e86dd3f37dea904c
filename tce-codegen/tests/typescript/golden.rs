//! What the generator writes, feature by feature: `tests/golden/*.idl`, and the `.ts`
//! files beside them. `BLESS=1` writes them anew.

use tce_codegen::{GeneratedFile, Options, TypeScriptOptions, generate};

use crate::compare::compare;
use crate::features::{golden, golden_dir};

fn code() -> Vec<GeneratedFile> {
    golden("typescript", &Options::default())
}

fn code_of(idl: &str) -> String {
    let model = tce_idl::compile_str(idl).model.unwrap();
    let files = generate(&model, "typescript", &Options::default()).unwrap();
    files[0].contents.clone()
}

#[test]
fn every_feature_gives_the_recorded_code() {
    compare(&code(), &golden_dir());
}

#[test]
fn the_same_idl_gives_the_same_code() {
    assert_eq!(code(), code());
}

#[test]
fn a_name_of_the_idl_stays_when_declarations_are_added() {
    let names = |idl: &str| {
        let code = code_of(idl);
        let lines = code.lines().filter(|line| line.starts_with("export "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let first = "module m { interface I { void f(); }; struct encodeI { int x; };";
    let old = names(&format!("{first} }}"));
    let new = names(&format!(
        "{first} interface J extends I {{ void fOneway(); }}; struct IPrx {{ int x; }}; }}"
    ));
    for line in old {
        assert!(new.contains(&line), "{line} is not in {new:?}");
    }
    let renamed = "export interface IPrx_ {";
    assert!(new.iter().any(|line| line == renamed), "{new:?}");
}

#[test]
fn skeletons_are_left_out_where_the_idl_says_so() {
    let code = code_of(
        "module m {
            interface Base { void a(); };
            [skeleton_typescript=false] interface Without { void b(); };
            [skeleton_typescript=false] interface Both { void c(); };
            interface Derived extends Both { void d(); };
        }",
    );
    for present in [
        "class WithoutPrx",
        "interface Both",
        "function serveDerived",
    ] {
        assert!(code.contains(present), "{code}");
    }
    for absent in ["interface Without ", "serveWithout", "serveBoth"] {
        assert!(!code.contains(absent), "{code}");
    }
}

#[test]
fn structs_in_structs_cost_no_time() {
    let mut idl = "module m { struct S0 { string a; };".to_owned();
    for depth in 1..=100 {
        let inner = depth - 1;
        idl += &format!("struct S{depth} {{ S{inner} a; S{inner} b; }};");
    }
    let code = code_of(&(idl + "sequence<S100> L; }"));
    assert!(code.contains("(input, decodeS100, 4294967295)"), "{code}");
}

#[test]
fn the_runtime_may_have_another_name() {
    let model = tce_idl::compile_str("module m { struct S { int x; }; }");
    let mut options = Options::default();
    options.typescript = TypeScriptOptions::default().runtime("@vendor/tce");
    let files = generate(&model.model.unwrap(), "typescript", &options).unwrap();
    let code = &files[0].contents;
    assert!(
        code.contains("import * as rt from \"@vendor/tce/codegen\";"),
        "{code}"
    );
}

#[test]
fn names_that_the_code_needs_itself_get_an_underscore() {
    let code = code_of(
        "module m {
            struct Map { int __proto__; int constructor; };
            struct Promise { Map rt; };
            interface rt {
                void then(int options, string out, long class);
                Promise new(Map ctx);
                void delete();
            };
        }",
    );
    for line in [
        "export interface Map_ {",
        "    __proto___: number;",
        "    constructor: number;",
        "    rt: Map_;",
        "export interface rt_ {",
        "export function serveRt_(servant: rt_): rt.Servant {",
        "    then_(options_: number, out_: string, class_: bigint, ctx: rt.Context): rt.Result<void>;",
        "    new_(ctx_: Map_, ctx: rt.Context): rt.Result<Promise_>;",
        "    delete(ctx: rt.Context): rt.Result<void>;",
        "export class rtPrx extends rt.Proxy {",
    ] {
        assert!(
            code.lines().any(|it| it == line),
            "{line} is not in\n{code}"
        );
    }
}
