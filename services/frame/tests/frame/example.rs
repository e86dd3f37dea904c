//! `examples/frame`: three agents by one command, with the packages of kael's manual.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rmpv::Value;

use crate::common::Namespace;

struct Example(Child);

impl Drop for Example {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn three_agents_are_started_by_one_command() {
    let namespace = Namespace::new("test");
    let folder = namespace.root.path();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/frame/run.sh");
    let example = Command::new(script)
        .arg(folder)
        .env("TCE_FRAME", env!("CARGO_BIN_EXE_tce-frame"))
        .env("TCE_FRAME_AMQP", &namespace.uri)
        .stdout(Stdio::null())
        .spawn();
    let example = Example(example.expect("it runs"));
    let client = namespace.client().await;
    let began = Instant::now();
    loop {
        // Without an agent there is no reply; with few the roster may lack some.
        let replies = client.wait(2).crontabs("").collect().await;
        let values = replies.map(|replies| replies.values).unwrap_or_default();
        let active = values
            .values()
            .filter(|crontabs| crontabs[0].active)
            .count();
        if values.len() == 3 && active == 1 {
            let crontab = values.values().next().expect("one");
            assert_eq!(
                (crontab[0].name.as_str(), crontab[0].jobs.len()),
                ("print", 2)
            );
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(40), "{values:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let sum = client
        .call("calculate__add", vec![1.into(), 2.into()], 5)
        .await;
    assert_eq!(sum.expect("a sum"), Value::from(3));
    drop(example);
}
