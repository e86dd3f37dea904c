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
    let codegen = workspace().join("tce-codegen");
    let manifest = format!("[build-dependencies]\ntce-codegen.path = {codegen:?}\n");
    let package = Package::new("build-script", "2024", &manifest);
    package.write("build.rs", BUILD_RS);
    package.write("src/main.rs", MAIN_RS);
    package.write("idl/shop.idl", SHOP_IDL);
    package.write("idl/ifx-index-list.txt", "shop.Shop=7\n");
    package.write(
        "idl/common/money.idl",
        "module money { struct Amount { long cents; }; }",
    );

    // Only checked: the build script runs all the same, and no dependency is compiled for `main`.
    let built = package.try_cargo(&["check"]);
    let stderr = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{stderr}");
    assert!(
        stderr.contains("idl/shop.idl:4:6: "),
        "the unknown annotation is a warning: {stderr}"
    );

    // An import is watched too, and what is wrong with it is shown as lines.
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

    // The next run finds a lock; what it says, and then the index file, is watched too.
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
