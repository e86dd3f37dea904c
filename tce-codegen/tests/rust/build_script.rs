//! A package with a `build.rs`, as a user writes it.

use crate::package::{Package, workspace};

const BUILD_RS: &str = r#"
fn main() -> Result<(), tce_codegen::Error> {
    tce_codegen::configure()
        .include("idl/common")
        .index_file("idl/ifx-index-list.txt")
        .compile(&["idl/shop.idl"])
}
"#;

const MAIN_RS: &str = r#"
#![deny(warnings)]

tce_runtime::include_idl!(shop, money, mixed_case = "MixedCase", r#type = "type");

fn main() {
    let _ = shop::Price {
        amount: money::Amount { cents: 250 },
        on: r#type::Date { day: mixed_case::Day { number: 1 } },
    };
}
"#;

const SHOP_IDL: &str = "import money
module shop {
    struct Price { money::Amount amount; type::Date on; };
    [colour=red] interface Shop { void buy(Price price); };
}
module type { struct Date { MixedCase::Day day; }; }
module MixedCase { struct Day { int number; }; }
";

#[test]
fn a_build_script_compiles_idl_and_tells_cargo_about_it() {
    let manifest = build_dependencies();
    let package = Package::new("build-script", "2024", "tce-runtime", &manifest);
    package.write("build.rs", BUILD_RS);
    package.write("src/main.rs", MAIN_RS);
    package.write("idl/shop.idl", SHOP_IDL);
    package.write("idl/ifx-index-list.txt", "shop.Shop=7\n");
    package.write(
        "idl/common/money.idl",
        "module money { struct Amount { long cents; }; }",
    );

    // `check` runs the build script, too, and compiles no dependency for `main`.
    let built = package.try_cargo(&["check"]);
    let stderr = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{stderr}");
    assert!(
        stderr.contains("idl/shop.idl:4:6: "),
        "the unknown annotation is a warning: {stderr}"
    );

    // A change of an import runs the script again; its errors are shown as lines.
    package.write(
        "idl/common/money.idl",
        "module money { struct Amount { lng cents; }; }",
    );
    let broken = package.try_cargo(&["check"]);
    let stderr = String::from_utf8_lossy(&broken.stderr);
    assert!(!broken.status.success());
    assert!(
        stderr.contains("\n  error[TCE0200]") && stderr.contains("money.idl:1:32\n"),
        "{stderr}"
    );

    package.write(
        "idl/common/money.idl",
        "module money { struct Amount { int cents; }; }",
    );
    package.cargo(&["check"]);

    // So does a change of the lock, and of the index file.
    package.write("idl/tce.lock", "version = 1\nshop.Shop = 8\n");
    package.write("idl/ifx-index-list.txt", "shop.Shop=7\n\n");
    let moved = package.try_cargo(&["check"]);
    let stderr = String::from_utf8_lossy(&moved.stderr);
    assert!(!moved.status.success());
    assert!(stderr.contains("\n  error[TCE0701]"), "{stderr}");
    package.write("idl/tce.lock", "version = 1\nshop.Shop = 7\n");
    package.cargo(&["check"]);
    package.write("idl/ifx-index-list.txt", "shop.Shop=seven\n");
    assert!(
        !package.try_cargo(&["check"]).status.success(),
        "an index file is watched too"
    );
}

const OPTIONS_BUILD_RS: &str = r##"
use tce_codegen::MapType;

fn main() -> Result<(), tce_codegen::Error> {
    tce_codegen::configure()
        .runtime("my_tce")
        .map_type(MapType::HashMap)
        .type_attribute(".", "#[derive(serde::Serialize, serde::Deserialize)]")
        .type_attribute("shop.Price", "#[derive(PartialOrd)] #[serde(deny_unknown_fields)]")
        .field_attribute("Price.in_cents", r#"#[serde(rename = "cents")]"#)
        .compile(&["idl/shop.idl"])
}
"##;

const OPTIONS_MAIN_RS: &str = r#"
#![deny(warnings)]

my_tce::include_idl!(shop);

use shop::*;

fn is_serde<T: serde::Serialize + serde::de::DeserializeOwned>(_: &T) {}

fn main() {
    let stock: std::collections::HashMap<String, i32> = Stock::new();
    is_serde(&Shelf { stock });
    let price = Price { in_cents: 250 };
    is_serde(&price);
    assert!(price > Price::default());
    // `use shop::*` brings the methods of all proxies.
    let _ = |connection: &my_tce::Connection| ShopPrx::new(connection).ping();
}
"#;

const OPTIONS_IDL: &str = "module shop {
    struct Price { int in_cents; };
    dictionary<string, int> Stock;
    struct Shelf { Stock stock; };
    interface Shop { Stock sell(Stock sold); };
}
";

#[test]
fn options_add_attributes_and_choose_map_and_runtime() {
    let manifest = "serde = { version = \"1\", features = [\"derive\"] }\n\n".to_owned();
    let manifest = manifest + &build_dependencies();
    let package = Package::new("options", "2024", "my_tce", &manifest);
    package.write("build.rs", OPTIONS_BUILD_RS);
    package.write("src/main.rs", OPTIONS_MAIN_RS);
    package.write("idl/shop.idl", OPTIONS_IDL);
    package.cargo(&["check"]);
}

/// Imports and locks that are created later, where cargo has not seen a file.
#[test]
fn a_new_file_runs_the_script_again_and_nothing_else_does() {
    let package = Package::new("new-files", "2024", "tce-runtime", &build_dependencies());
    for created in ["idl/other.idl", "idl/tce.lock", "first/other.idl"] {
        package.remove(created);
    }
    package.write("first/empty", "");
    package.write(
        "build.rs",
        "fn main() -> Result<(), tce_codegen::Error> {
            tce_codegen::configure().include(\"first\").include(\"inc\").compile(&[\"idl/m.idl\"])
        }",
    );
    package.write(
        "idl/m.idl",
        "import other\nmodule m { interface I { other::Thing get(); }; }",
    );
    package.write(
        "inc/other.idl",
        "module other { struct Thing { int old; }; }",
    );
    let expects = |member: &str| {
        let text = format!(
            "tce_runtime::include_idl!(m, other);\n\
             fn main() {{ let _ = other::Thing {{ {member}: 1 }}; }}\n"
        );
        package.write("src/main.rs", &text);
        package.cargo(&["check"]);
    };
    expects("old");
    // A build without a change runs nothing.
    let again = package.try_cargo(&["check", "-vv"]);
    let stderr = String::from_utf8_lossy(&again.stderr);
    assert!(stderr.contains("Fresh new-files"), "{stderr}");
    package.write(
        "first/other.idl",
        "module other { struct Thing { int second; }; }",
    );
    expects("second");
    package.write(
        "idl/other.idl",
        "module other { struct Thing { int fresh; }; }",
    );
    expects("fresh");
    package.remove("idl/other.idl");
    expects("second");
    package.write("idl/tce.lock", "version = 1\nm.I = 8\n");
    let locked = package.try_cargo(&["check"]);
    let stderr = String::from_utf8_lossy(&locked.stderr);
    assert!(stderr.contains("\n  error[TCE0701]"), "{stderr}");
}

/// The runtime under another name, re-exported by another crate of the workspace,
/// and by the crate itself.
#[test]
fn the_runtime_can_have_any_path() {
    let path = workspace().join("tce-runtime");
    let company = "[package]\nname = \"company\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
        [dependencies]\nrpc = { package = \"tce-runtime\", default-features = false, path = ";
    let company = format!("{company}{path:?} }}\n");
    let manifest = "company.path = \"company\"\n".to_owned() + &build_dependencies();
    let package = Package::new("paths", "2024", "rpc", &manifest);
    package.write("company/Cargo.toml", &company);
    package.write(
        "company/src/lib.rs",
        "pub mod base { pub use rpc as tce; }\n",
    );
    package.write("idl/shop.idl", OPTIONS_IDL);
    for (runtime, macro_path) in [
        ("rpc", "rpc"),
        ("::rpc", "rpc"),
        ("company::base::tce", "company::base::tce"),
        ("crate::inner::tce", "inner::tce"),
    ] {
        package.write(
            "build.rs",
            &format!(
                "fn main() -> Result<(), tce_codegen::Error> {{
                    tce_codegen::configure().runtime({runtime:?}).compile(&[\"idl/shop.idl\"])
                }}"
            ),
        );
        package.write(
            "src/main.rs",
            &format!(
                "#![deny(warnings)]\n\
                 pub mod inner {{ pub use company::base::tce; }}\n\
                 {macro_path}::include_idl!(shop);\n\
                 fn main() {{ let _ = shop::Price {{ in_cents: 1 }}; }}\n"
            ),
        );
        package.cargo(&["check"]);
    }
}

fn build_dependencies() -> String {
    let codegen = workspace().join("tce-codegen");
    format!("[build-dependencies]\ntce-codegen.path = {codegen:?}\n")
}
