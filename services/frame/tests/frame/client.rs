//! The client in Rust.

use std::time::{Duration, Instant};

use tce_frame::{Frame, FrameError, idl::frame::Change};

use crate::common::Namespace;

#[tokio::test]
async fn the_client_calls_functions_and_commands_all_agents() {
    let namespace = Namespace::new("rust-client");
    let frame = Frame::connect(&namespace.name, &namespace.uri)
        .await
        .expect("the broker");
    let change = Change {
        kind: "service".to_owned(),
        name: "calculate".to_owned(),
        ..Change::default()
    };
    let began = Instant::now();
    let error = frame.update(&change).await.expect_err("no agent");
    assert_eq!(error.to_string(), "no agent in namespace rust-client");
    let error = frame.call::<i64>("calculate__add", (1, 2)).await;
    let error = error.expect_err("no agent");
    assert!(
        matches!(error, FrameError::UnknownService { .. }),
        "{error}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );

    let agent = namespace.start(&namespace.machine("a"));
    let began = Instant::now();
    let sum = loop {
        // The queue of the service is declared soon after the agent is ready.
        match frame.call::<i64>("calculate__add", (1, 2)).await {
            Err(FrameError::UnknownService { .. }) if began.elapsed() < Duration::from_secs(20) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            sum => break sum,
        }
    };
    assert_eq!(sum.expect("a sum"), 3);
    let text = frame.call::<String>("calculate__add", ("a", "é")).await;
    assert_eq!(text.expect("a text"), "aé");
    let error = frame.call::<i64>("calculate__fail", ("zero",)).await;
    let error = error.expect_err("an exception");
    assert_eq!(error.to_string(), "ZeroDivisionError: division by zero");
    let error = frame.call::<i64>("calculate__add", ("a", "b")).await;
    let error = error.expect_err("another type");
    assert!(matches!(error, FrameError::Value(_)), "{error}");
    let error = frame.call::<i64>("calculate__nosuch", ()).await;
    let error = error.expect_err("no function");
    assert!(
        matches!(error, FrameError::UnknownService { .. }),
        "{error}"
    );

    let updated = frame.update(&change).await.expect("an answer");
    assert_eq!(updated.values[&agent.id], "I am the source code");
    let listed = frame.agents().info().collect().await.expect("agents");
    assert_eq!(listed.values[&agent.id].id, agent.id);
    agent.stop();
}
