//! Golden files: the expected output is beside each input. `BLESS=1` rewrites
//! it.

use std::{collections::BTreeSet, env, fmt::Write as _, fs, path::PathBuf};

use tce_gateway::{
    config::{LoadedServices, print_config, properties_table},
    routing::explain,
};

use crate::{folder, parse};

fn files(name: &str) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(folder().join(name)).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "xml"))
        .collect()
}

fn agree(golden: &PathBuf, told: &str) {
    if env::var_os("BLESS").is_some() {
        fs::write(golden, told).unwrap();
    } else {
        let agreed = fs::read_to_string(golden).unwrap_or_default();
        assert_eq!(told, agreed, "{}", golden.display());
    }
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let files = files("broken");
    assert!(files.len() >= 30, "the files are gone: {files:?}");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let told = parse(&text).expect_err(&file.display().to_string());
        agree(&file.with_extension("txt"), &format!("{told}\n"));
    }
}

#[test]
fn a_file_is_resolved_and_explained() {
    let files = files("ok");
    assert!(files.len() >= 5, "the files are gone: {files:?}");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let loaded = parse(&text).unwrap_or_else(|error| panic!("{}:\n{error}", file.display()));
        agree(&file.with_extension("txt"), &describe(&loaded));
    }
}

fn describe(
    LoadedServices {
        services, warnings, ..
    }: &LoadedServices,
) -> String {
    let mut text = String::new();
    for warning in warnings {
        writeln!(text, "warning: {warning}").unwrap();
    }
    for server in &services.servers {
        let config = print_config(services, server);
        // Defaults are the same in all files.
        let config = config.lines().filter(|line| !line.ends_with(" default"));
        text += &"-".repeat(72);
        text.push('\n');
        for line in config {
            writeln!(text, "{line}").unwrap();
        }
        for interface in &services.interfaces {
            writeln!(
                text,
                "\n{}",
                explain(services, server, &interface.name).unwrap()
            )
            .unwrap();
        }
    }
    text
}

#[test]
fn what_is_in_force_is_shown_with_its_origin() {
    let text = fs::read_to_string(folder().join("ok/own_properties.xml")).unwrap();
    let services = parse(&text).unwrap().services;
    let config = print_config(&services, &services.servers[0]);
    agree(&folder().join("print_config.txt"), &config);
}

#[test]
fn the_table_of_properties_is_what_the_documentation_has() {
    let page = folder().join("../../PROPERTIES.md");
    let text = format!(
        "# Properties of a gateway\n\n\
         A property is set in `services.xml`, by `<property name=\"call_time\" value=\"30\"/>` in \
         the `properties` of a server. The environment (`TCE_GATEWAY_CALL_TIME=30`) overrides the \
         file, and the flag `--set call_time=30` overrides both. `listen` and `loopback` can only \
         be set in the file. An empty value restores the default.\n\n{}",
        properties_table()
    );
    agree(&page, &text);
}
