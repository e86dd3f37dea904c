//! The message queues of a process: any text gives a configuration, or errors,
//! each of which is a line.

#![no_main]

use tce_runtime::config::MqConfig;

libfuzzer_sys::fuzz_target!(|text: &str| {
    match MqConfig::parse(text, "config.yml", "server") {
        Ok(config) => {
            for endpoint in &config.endpoints {
                assert!(endpoint.reads || endpoint.writes);
                assert_eq!(endpoint.address.to_string().parse(), Ok(endpoint.address.clone()));
            }
        }
        Err(problems) => {
            let lines = problems.to_string().lines().count();
            assert_eq!(lines, problems.problems().len());
        }
    }
});
