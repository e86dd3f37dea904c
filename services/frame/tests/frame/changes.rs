//! Update, install, restart, rollback, and who may do them.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use rmpv::Value;
use tce_frame::idl::frame::Change;
use tce_runtime::TypedMulti as _;
use tce_test_rabbitmq::Node;

use crate::common::{AgentProcess, CODE, Client, Namespace, SETTING, values, write};

fn change(name: &str) -> Change {
    Change {
        kind: "service".into(),
        name: name.into(),
        ..Change::default()
    }
}

/// Writes another version of `calculate` into a machine's folder.
fn next_version(machine: &std::path::Path, version: &str) {
    write(
        machine,
        "calculate_service/setting.yaml",
        &SETTING.replace("1.0", version),
    );
    let code = CODE
        .replace("VERSION = 1", "VERSION = 2")
        .replace("return a + b", "return [a + b, VERSION]");
    write(machine, "calculate_service/__init__.py", &code);
    write(machine, "calculate_service/new.py", "");
}

/// The only failure of one agent.
async fn refusal(client: &Client, agent: &AgentProcess, change: &Change) -> String {
    let only = client.wait(20).only([&agent.id]);
    let replies = only.update(change).collect().await.expect("replies");
    let (_, error) = replies.failures.into_iter().next().expect("a failure");
    error.text().to_owned()
}

#[tokio::test]
async fn an_update_takes_the_highest_version_and_a_rollback_takes_it_back() {
    let namespace = Namespace::new("update");
    let (a, b, c) = (
        namespace.machine("a"),
        namespace.machine("b"),
        namespace.machine("c"),
    );
    for machine in [&a, &b] {
        next_version(machine, "1.10");
    }
    write(
        &c,
        "calculate_service/setting.yaml",
        &SETTING.replace("1.0", "1.9"),
    );
    write(&c, "calculate_service/gone.py", "");
    let agents = [
        namespace.start(&a),
        namespace.start(&b),
        namespace.start(&c),
    ];
    write(&c, "calculate_service/log.txt", "made at run time\n");
    let client = namespace.client().await;
    let mut texts = values(client.wait(20).update(&change("calculate")).collect().await);
    assert_eq!(
        texts.remove(&agents[2].id).expect("a text"),
        "Update OK. Version from <1.9> to <1.10>"
    );
    let mut others: Vec<_> = texts.into_values().collect();
    others.sort();
    assert_eq!(
        others,
        [
            "I am the source code",
            "Package calculate Version 1.10 Already on the server"
        ]
    );
    let folder = c.join("calculate_service");
    assert!(!folder.join("gone.py").exists() && folder.join("new.py").exists());
    assert_eq!(
        fs::read_to_string(folder.join("log.txt")).expect("the log"),
        "made at run time\n"
    );
    // All have the same files now, and run them after a restart.
    let hashes =
        |packages: std::collections::BTreeMap<String, Vec<tce_frame::idl::frame::Package>>| {
            let mut hashes: Vec<_> = packages
                .into_values()
                .map(|packages| packages[0].hash.clone())
                .collect();
            hashes.dedup();
            hashes
        };
    let packages = values(client.wait(5).packages("service", "").collect().await);
    let new = hashes(packages);
    assert_eq!(new.len(), 1);
    let texts = values(
        client
            .wait(20)
            .only([&agents[2].id])
            .restart("service", 0)
            .collect()
            .await,
    );
    assert_eq!(texts[&agents[2].id], "restart service ok");

    let only = client.wait(20).only([&agents[2].id]);
    let rollback = || async {
        values(only.rollback("service", "calculate").collect().await)[&agents[2].id].clone()
    };
    assert_eq!(
        rollback().await,
        "Rollback OK. Version from <1.10> to <1.9>"
    );
    assert!(folder.join("gone.py").exists());
    assert_eq!(
        rollback().await,
        "Rollback OK. Version from <1.9> to <1.10>"
    );
    assert_eq!(
        hashes(values(only.packages("service", "").collect().await)),
        new
    );

    // The same version with other files needs `force`, and a version may be asked for.
    write(&b, "calculate_service/new.py", "changed = 1\n");
    values(
        client
            .wait(20)
            .only([&agents[1].id])
            .restart("service", 0)
            .collect()
            .await,
    );
    let from = |version: &str, force| Change {
        source: agents[1].id.clone(),
        version: version.into(),
        force,
        ..change("calculate")
    };
    let text = refusal(&client, &agents[2], &from("1.10", false)).await;
    assert!(
        text.starts_with("ERR: ") && text.contains(&new[0]) && text.contains("`force`"),
        "{text}"
    );
    let text = values(only.update(&from("1.10.0", true)).collect().await)[&agents[2].id].clone();
    assert_eq!(text, "Update OK. Version from <1.10> to <1.10>");
    let text = refusal(&client, &agents[2], &from("1.9", false)).await;
    assert_eq!(text, "no agent has the service `calculate` 1.9");
}

#[tokio::test]
async fn no_call_fails_while_the_code_is_replaced() {
    let namespace = Namespace::new("load");
    let machine = namespace.machine("a");
    let agent = namespace.start(&machine);
    let client = Arc::new(namespace.client().await);
    let (is_over, calls) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU32::new(0)),
    );
    // 200 calls a second, whose answers must not go back to the old ones.
    let load = {
        let (client, is_over, calls) = (
            Arc::clone(&client),
            Arc::clone(&is_over),
            Arc::clone(&calls),
        );
        tokio::spawn(async move {
            let mut answers = Vec::new();
            let mut tick = tokio::time::interval(Duration::from_millis(5));
            while !is_over.load(Ordering::Relaxed) {
                tick.tick().await;
                let client = Arc::clone(&client);
                answers.push(tokio::spawn(async move {
                    client
                        .call("calculate__add", vec![1.into(), 2.into()], 10)
                        .await
                }));
                calls.fetch_add(1, Ordering::Relaxed);
            }
            let mut values = Vec::new();
            for answer in answers {
                values.push(answer.await.expect("a task").expect("no call fails"));
            }
            values
        })
    };
    let restart = || async {
        client
            .wait(40)
            .restart("service", 0)
            .collect()
            .await
            .expect("replies")
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    write(&machine, "calculate_service/__init__.py", "def add(a:\n");
    let failed = restart().await;
    let error = failed.failures[&agent.id].text();
    assert!(error.starts_with("ERR: calculate: SyntaxError"), "{error}");
    next_version(&machine, "1.1");
    assert_eq!(values(Ok(restart().await))[&agent.id], "restart service ok");
    tokio::time::sleep(Duration::from_millis(300)).await;
    is_over.store(true, Ordering::Relaxed);
    let answers = load.await.expect("the load");
    let (old, new) = (Value::from(3), Value::Array(vec![3.into(), 2.into()]));
    let first_new = answers
        .iter()
        .position(|answer| *answer == new)
        .expect("new answers");
    assert!(answers[..first_new].iter().all(|answer| *answer == old));
    // Those of the old processes that were begun before may end after the first new one.
    let late = answers[first_new..]
        .iter()
        .filter(|answer| **answer == old)
        .count();
    assert!(late <= 2, "{late} old answers after a new one");
    assert!(calls.load(Ordering::Relaxed) > 50);
}

#[tokio::test]
async fn a_package_is_installed_within_the_root_and_kept_in_the_file() {
    let namespace = Namespace::new("install");
    let source = namespace.start(&namespace.machine("a"));
    let target_machine = namespace.root.path().join("b");
    write(
        &target_machine,
        "frame.yaml",
        "# ours\npath: []  # none yet\n",
    );
    let target = namespace.start(&target_machine);
    let client = namespace.client().await;
    let only = client.wait(20).only([&target.id]);
    let install = |path: &str| {
        let change = Change {
            path: path.into(),
            ..change("calculate")
        };
        let only = only.clone();
        async move { only.install(&change).collect().await.expect("replies") }
    };
    for path in ["/tmp/out", "../out", ".tce-frame/x"] {
        let replies = install(path).await;
        let text = replies.failures[&target.id].text();
        assert!(text.contains("is not within"), "{text}");
    }
    let text = values(Ok(install("./calc2").await))[&target.id].clone();
    assert!(text.starts_with("Install OK. Version <1.0> in "), "{text}");
    let text = values(Ok(install("./calc3").await))[&target.id].clone();
    assert_eq!(text, "Package calculate Version 1.0 Already on this server");
    let file = fs::read_to_string(target_machine.join("frame.yaml")).expect("the file");
    assert_eq!(file, "# ours\npath: [./calc2]  # none yet\n");
    // It is served at once, and after a restart of the agent.
    source.stop();
    let sum = || client.call("calculate__add", vec![1.into(), 2.into()], 5);
    assert_eq!(sum().await.expect("a sum"), Value::from(3));
    target.stop();
    let _target = namespace.start(&target_machine);
    assert_eq!(sum().await.expect("a sum"), Value::from(3));
}

#[tokio::test]
async fn users_without_the_right_are_refused_and_no_password_is_logged() {
    let node = Node::shared();
    node.control(&["add_user", "reader", "secretword"]);
    node.control(&["set_permissions", "reader", ".*", ".*", ".*"]);
    let mut namespace = Namespace::new("rights");
    let machine = namespace.machine("a");
    write(
        &machine,
        "frame.yaml",
        "path: [calculate_service]\nagent: {rights: {system: [guest]}, allow_system: true}\n",
    );
    let guest = namespace.uri.clone();
    let agent = namespace.start(&machine);
    let only = |client: &Client| client.wait(10).only([&agent.id]);
    namespace.uri = guest.replace("guest:guest", "reader:secretword");
    let reader = namespace.client().await;
    values(only(&reader).packages("", "").collect().await);
    let refused = only(&reader)
        .restart("service", 0)
        .collect()
        .await
        .expect("replies");
    assert_eq!(
        refused.failures[&agent.id].text(),
        "the user reader has no right `operate` at this agent"
    );
    let refused = only(&reader).system("id").collect().await.expect("replies");
    assert_eq!(
        refused.failures[&agent.id].text(),
        "the user reader has no right `system` at this agent"
    );
    let refused = only(&reader)
        .fetch("x", "../../etc/passwd", 0)
        .collect()
        .await
        .expect("replies");
    assert_eq!(
        refused.failures[&agent.id].text(),
        "the user reader has no right `deploy` at this agent"
    );
    // The agent's own user may change packages, and `system` is listed for it.
    namespace.uri.clone_from(&guest);
    let ops = namespace.client().await;
    values(only(&ops).restart("service", 0).collect().await);
    assert_eq!(
        values(only(&ops).system("echo $((1+2))").collect().await)[&agent.id],
        "3\n"
    );
    let log = agent.log();
    assert!(
        log.contains("refused: restart")
            && !log.contains("secretword")
            && !log.contains("guest:guest"),
        "{log}"
    );
    agent.stop();

    // An agent whose own log-in is wrong does not print it either.
    namespace.uri = guest.replace("guest:guest", "reader:wrongword");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_tce-frame"))
        .args(["agent", "--namespace", "rights", "--conf"])
        .arg(machine.join("frame.yaml"))
        .env("TCE_FRAME_AMQP", &namespace.uri)
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("wrongword"));
}

#[tokio::test]
async fn with_trusted_keys_only_signed_packages_are_taken() {
    let namespace = Namespace::new("signed");
    let private = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
    let pair = Ed25519KeyPair::from_pkcs8(private.as_ref()).expect("a key");
    let public: String = pair
        .public_key()
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let key = namespace.root.path().join("key.der");
    fs::write(&key, private.as_ref()).expect("a key");
    let sign = |machine: &std::path::Path| {
        let signed = std::process::Command::new(env!("CARGO_BIN_EXE_tce-frame"))
            .args(["sign", "--key"])
            .arg(&key)
            .arg(machine.join("calculate_service"))
            .output()
            .expect("it runs");
        assert!(signed.status.success(), "{signed:?}");
        assert!(
            String::from_utf8_lossy(&signed.stdout).contains(&public),
            "{signed:?}"
        );
    };
    let (a, b) = (namespace.machine("a"), namespace.machine("b"));
    write(
        &b,
        "frame.yaml",
        &format!("path: [calculate_service]\nagent: {{trusted_keys: [{public}]}}\n"),
    );
    sign(&b);
    let target = namespace.start(&b);
    next_version(&a, "1.1");
    let source = namespace.start(&a);
    let client = namespace.client().await;
    let text = refusal(&client, &target, &change("calculate")).await;
    assert_eq!(text, "the package is not signed, and `trusted_keys` is set");
    sign(&a);
    values(
        client
            .wait(20)
            .only([&source.id])
            .restart("service", 0)
            .collect()
            .await,
    );
    let updated = values(
        client
            .wait(20)
            .only([&target.id])
            .update(&change("calculate"))
            .collect()
            .await,
    );
    assert_eq!(
        updated[&target.id],
        "Update OK. Version from <1.0> to <1.1>"
    );
    values(
        client
            .wait(20)
            .only([&target.id])
            .restart("service", 0)
            .collect()
            .await,
    );
    // A change by hand breaks the signature: the old code goes on.
    write(&b, "calculate_service/new.py", "changed = 1\n");
    let failed = client
        .wait(20)
        .only([&target.id])
        .restart("service", 0)
        .collect()
        .await
        .expect("replies");
    assert!(
        failed.failures[&target.id]
            .text()
            .contains("the signature is not that of this package")
    );
}
