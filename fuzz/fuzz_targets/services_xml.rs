//! The gateway's configuration: any text gives one that can be printed and
//! explained, or errors of one line each.

#![no_main]

use tce_gateway::{
    config::{Services, print_config},
    routing::explain,
};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let loaded = match Services::parse(text, "services.xml", &[]) {
        Ok(loaded) => loaded,
        Err(problems) => {
            let lines = problems.to_string().lines().count();
            assert_eq!(lines, problems.problems().len());
            return;
        }
    };
    for server in &loaded.services.servers {
        assert!(!server.listen.is_empty());
        assert!(!print_config(&loaded.services, server).is_empty());
        for interface in &loaded.services.interfaces {
            assert!(explain(&loaded.services, server, &interface.name).is_ok());
        }
    }
});
