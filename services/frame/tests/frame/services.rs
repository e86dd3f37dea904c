//! Calls of functions, and processes that end.

use std::time::{Duration, Instant};

use rmpv::Value;
use tce_frame::idl::frame::{Functions, FunctionsServant};
use tce_runtime::{Context, ErrorCode, Fault};

use crate::common::{Namespace, SETTING, values, write};

#[tokio::test]
async fn functions_are_called_and_their_failures_are_told() {
    let namespace = Namespace::new("calls");
    let machine = namespace.machine("a");
    let mut agent = namespace.start(&machine);
    let client = namespace.client().await;

    let sum = client
        .call("calculate__add", vec![1.into(), 2.into()], 5)
        .await;
    assert_eq!(sum.expect("a sum"), Value::from(3));
    let text = client
        .call("calculate__add", vec!["a".into(), "é".into()], 5)
        .await;
    assert_eq!(text.expect("a text"), Value::from("aé"));

    let failure = |kind: &'static str| client.call("calculate__fail", vec![kind.into()], 5);
    let error = failure("zero").await.expect_err("a failure");
    assert_eq!(error.code(), ErrorCode::RemoteException);
    assert!(
        error
            .text()
            .starts_with("ZeroDivisionError: division by zero\nTraceback"),
        "{error}"
    );
    assert!(!error.text().contains("_host.py"), "{error}");
    let error = failure("set").await.expect_err("a failure");
    assert!(error.text().contains("a value of type `set`"), "{error}");
    let error = client
        .call("calculate__nosuch", vec![], 5)
        .await
        .expect_err("no function");
    assert_eq!(error.code(), ErrorCode::InterfaceNotFound);

    // A process that ends: its call fails at once, the next one is run.
    let began = Instant::now();
    let error = failure("die").await.expect_err("a failure");
    assert!(
        error.text().contains("has ended with exit status 3"),
        "{error}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    let sum = client
        .call("calculate__add", vec![1.into(), 2.into()], 2)
        .await;
    assert_eq!(sum.expect("a sum"), Value::from(3));

    let source = values(client.wait(5).source("calculate__add").collect().await);
    assert_eq!(source[&agent.id], "def add(a, b):\n    return a + b\n");
    // A stranger at the loopback port.
    agent.wait_for("a process has ended with exit status 3");
    agent.stop();
    // The queue ends with the last agent.
    let began = Instant::now();
    let error = client
        .call("calculate__add", vec![1.into(), 2.into()], 5)
        .await
        .expect_err("no agent");
    assert_eq!(error.code(), ErrorCode::SendFailed, "{error}");
    assert!(
        began.elapsed() < Duration::from_millis(500),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_function_that_runs_for_too_long_is_ended() {
    let namespace = Namespace::new("overdue");
    let machine = namespace.machine("a");
    let setting = format!("{SETTING}timeout: 300ms\nprocesses: 1\n");
    write(&machine, "calculate_service/setting.yaml", &setting);
    let agent = namespace.start(&machine);
    let client = namespace.client().await;
    let runs = namespace.root.path().join("runs").display().to_string();
    let slow = client.call("calculate__slow", vec![runs.into(), 60.into()], 10);
    let error = slow.await.expect_err("a timeout");
    assert_eq!(error.code(), ErrorCode::Timeout);
    assert!(
        error.text().contains("has run for 300ms, the `timeout`"),
        "{error}"
    );
    let sum = client
        .call("calculate__add", vec![1.into(), 2.into()], 10)
        .await;
    assert_eq!(sum.expect("a sum"), Value::from(3));
    agent.stop();
}

#[tokio::test]
async fn only_idempotent_calls_go_to_another_agent_when_one_dies() {
    let namespace = Namespace::new("dies");
    let first = namespace.start(&namespace.machine("a"));
    let client = namespace.client().await;
    let runs = namespace.root.path().join("runs").display().to_string();
    let slow = client.call("calculate__slow", vec![runs.as_str().into(), 1.into()], 3);
    let minus = client.call("calculate__minus", vec![5.into(), 3.into()], 10);
    let began = Instant::now();
    let killing = async {
        while !std::path::Path::new(&runs).exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let second = namespace.start(&namespace.machine("b"));
        // Taken by the first agent, each is run by a process of its own.
        first.signal("-KILL");
        second
    };
    let (slow, minus, second) = tokio::join!(slow, minus, killing);
    assert!(
        matches!(
            slow.as_ref().map_err(tce_runtime::RpcError::code),
            Ok(_) | Err(ErrorCode::Timeout)
        ),
        "{slow:?}"
    );
    assert_eq!(minus.expect("a difference"), Value::from(2));
    assert!(began.elapsed() < Duration::from_secs(9));
    let runs = std::fs::read_to_string(&runs).expect("runs");
    assert_eq!(runs, "begun\n");
    second.stop();
}

#[tokio::test]
async fn packages_at_fault_are_shown_as_rejected() {
    let namespace = Namespace::new("faults");
    let machine = namespace.machine("a");
    write(
        &machine,
        "frame.yaml",
        "path: [calculate_service, second, missing, bad, lacking]\n",
    );
    write(&machine, "second/setting.yaml", SETTING);
    write(
        &machine,
        "bad/setting.yaml",
        "type: service\npublish: [add\n",
    );
    write(
        &machine,
        "lacking/setting.yaml",
        "type: service\nservice_base_name: lacking\nversion: 1\npublish:\n - here\n - absent\n",
    );
    write(&machine, "lacking/__init__.py", "here = print\n");
    let agent = namespace.start(&machine);
    let client = namespace.client().await;
    let packages = values(client.wait(5).packages("", "").collect().await);
    let states: Vec<_> = packages[&agent.id]
        .iter()
        .map(|package| package.state.clone())
        .collect();
    assert_eq!(states.len(), 5, "{states:#?}");
    assert_eq!(states[0], "running");
    assert!(
        states[1].contains("lacking/setting.yaml:6: ")
            && states[1].ends_with("has no function `absent`"),
        "{}",
        states[1]
    );
    for (state, wanted) in states[2..].iter().zip([
        "frame.yaml:1: a second service",
        "frame.yaml:1: ",
        "bad/setting.yaml:",
    ]) {
        assert!(
            state.starts_with("rejected: ") && state.contains(wanted),
            "{state}"
        );
    }
    let sum = client
        .call("calculate__add", vec![1.into(), 2.into()], 5)
        .await;
    assert_eq!(sum.expect("a sum"), Value::from(3));
}

/// The program of a package: it adds, whatever the function is called.
struct Adder;

impl Functions for Adder {
    async fn call(&self, name: String, arguments: Vec<u8>, _: &Context) -> Result<Vec<u8>, Fault> {
        if name == "adder__die" {
            #[expect(clippy::disallowed_methods, reason = "the program of a package dies")]
            std::process::exit(7);
        }
        let value = rmpv::decode::read_value(&mut arguments.as_slice()).map_err(Fault::internal)?;
        let numbers = value[0]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_i64);
        let mut result = Vec::new();
        rmpv::encode::write_value(&mut result, &numbers.sum::<i64>().into())
            .map_err(Fault::internal)?;
        Ok(result)
    }
}

/// The agent of the next test runs this test as the program of a package; otherwise the program is
/// refused, as it has no token.
#[tokio::test]
async fn a_program_serves_a_package() {
    let served = tce_frame::serve_package(FunctionsServant::new(Adder)).await;
    if std::env::var_os("TCE_FRAME_TOKEN").is_none() {
        let error = served.expect_err("no agent").to_string();
        assert!(error.contains("TCE_FRAME_ENDPOINT is not set"), "{error}");
    }
}

#[tokio::test]
async fn a_package_may_have_a_program_of_its_own() {
    let namespace = Namespace::new("program");
    let machine = namespace.root.path().join("a");
    let program = std::env::current_exe().expect("this program");
    let run = format!(
        "{} --exact services::a_program_serves_a_package",
        program.display()
    );
    write(&machine, "frame.yaml", "path: [adder]\n");
    let setting = format!(
        "type: service\nservice_base_name: adder\nversion: 1\nrun: {run}\nidl: frame.idl\ninterface: Functions\n"
    );
    write(&machine, "adder/setting.yaml", &setting);
    let mut agent = namespace.start(&machine);
    let frame = tce_frame::Frame::connect("program", &namespace.uri)
        .await
        .expect("a client");
    assert_eq!(
        frame
            .call::<i64>("adder__add", (1, 2))
            .await
            .expect("a sum"),
        3
    );
    let error = frame
        .call::<i64>("adder__die", ())
        .await
        .expect_err("it ends")
        .to_string();
    assert!(error.contains("has ended with exit status 7"), "{error}");
    let frame = frame.with_timeout(Duration::from_secs(5));
    assert_eq!(
        frame
            .call::<i64>("adder__add", (3, 4))
            .await
            .expect("a sum"),
        7
    );
    // A stopped agent takes its programs along.
    agent.signal("-KILL");
    agent.child.wait().expect("it ends");
    let folder = machine.join("adder");
    let runs = || {
        let processes = std::fs::read_dir("/proc").expect("processes").flatten();
        let mut folders =
            processes.filter_map(|process| std::fs::read_link(process.path().join("cwd")).ok());
        folders.any(|cwd| cwd == folder)
    };
    let began = Instant::now();
    while runs() {
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "a program of the package runs on"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
