//! `services.xml` as gateways load it.

use std::path::Path;

use tce_gateway::config::Services;

#[test]
fn a_file_written_for_tce_is_loaded_as_it_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/ok/cluster.xml");
    let loaded = Services::load(path, &[]).unwrap();
    assert_eq!(loaded.warnings, []);
    let names: Vec<_> = loaded
        .services
        .servers
        .iter()
        .map(|server| server.name.as_str())
        .collect();
    assert_eq!(names, ["gwserver", "gwserver_ws"]);
}
