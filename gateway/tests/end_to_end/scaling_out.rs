//! The walk-through of `docs/gateway/scaling-out.md`: its files and commands, as they are
//! there.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::process::Signal;
use tce_runtime::{
    Adapter, Communicator, TypedProxy,
    config::{MqConfig, Options},
};
use tce_test_rabbitmq::{Node, free_port};
use tce_test_redis::RedisServer;
use tce_tests::test::{ITerminalPrx, ServerServant};
use tokio::{
    sync::mpsc,
    task::spawn_blocking,
    time::{sleep, timeout},
};

use crate::{
    common::{
        client::Client,
        process::GatewayProcess,
        seed::Seed,
        watching::{eventually_async, within},
    },
    resume::faults::Relay,
};

/// The chapter, with addresses of this machine.
struct Chapter {
    text: String,
    /// The port of the clients of the first gateway, and of the second one.
    ports: [u16; 2],
}

impl Chapter {
    fn read(broker: u16, redis: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/gateway/scaling-out.md");
        let mut text = fs::read_to_string(path).unwrap();
        let free = || free_port().expect("a port is free");
        let (ports, admin) = ([free(), free()], [free(), free()]);
        let mut replace = |old: &str, new: String| {
            assert!(text.contains(old), "the chapter has {old}");
            text = text.replace(old, &new);
        };
        replace(
            r#"host="rabbitmq" port="5672""#,
            format!(r#"host="127.0.0.1" port="{broker}""#),
        );
        replace(
            "host: rabbitmq, port: 5672",
            format!("host: 127.0.0.1, port: {broker}"),
        );
        replace("redis://redis:6379", redis.to_owned());
        for (old, new) in [("12002", ports[0]), ("12003", ports[1])] {
            replace(
                &format!(r#"host="" port="{old}""#),
                format!(r#"host="127.0.0.1" port="{new}""#),
            );
        }
        replace("9600", admin[0].to_string());
        replace("9601", admin[1].to_string());
        // Other tests have queues at the same broker.
        replace("mq_", format!("walk_{}_mq_", std::process::id()));
        Self { text, ports }
    }

    /// The contents of the code blocks of a language.
    fn blocks(&self, language: &str) -> Vec<&str> {
        let fence = format!("```{language}\n");
        let blocks = self.text.split(&fence).skip(1);
        blocks
            .map(|rest| rest.split_once("```").expect("the block ends").0)
            .collect()
    }

    /// The name of a queue.
    fn queue(&self, name: &str) -> String {
        let queue = format!("walk_{}_{name}", std::process::id());
        assert!(self.text.contains(&queue));
        queue
    }
}

/// The commands of a transcript, each with its arguments and output.
fn commands(transcript: &str) -> Vec<(Vec<String>, String)> {
    let commands = transcript.split("$ tce-gateway ").skip(1);
    let commands = commands.map(|text| {
        let (command, output) = text.split_once('\n').expect("the line ends");
        let arguments = command.split_whitespace().map(str::to_owned);
        (arguments.collect(), output.to_owned())
    });
    commands.collect()
}

/// Whether an output is the expected one, apart from addresses, numbers of connections,
/// times, and the blanks between columns.
fn is_alike(expected: &str, output: &str) -> bool {
    let words = |text: &str| -> Vec<Vec<String>> {
        let lines = text.lines().map(|line| {
            let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
            let free = words.iter().enumerate().map(|(position, word)| {
                let is_time = words.get(position + 1).is_some_and(|next| next == "s");
                let is_connection = word.split_once('-').is_some_and(|(run, _)| run.len() == 16);
                match is_time || is_connection || word.contains(':') {
                    true => "…".to_owned(),
                    false => word.clone(),
                }
            });
            free.collect()
        });
        lines.collect()
    };
    words(expected) == words(output)
}

/// Runs the commands of a transcript until they have the expected output: one gateway
/// learns from the other.
async fn runs(transcript: &str, folder: &Path) {
    for (arguments, expected) in commands(transcript) {
        eventually_async(&format!("{arguments:?}: {expected}"), async || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_tce-gateway"));
            command.args(&arguments).current_dir(folder);
            let output = spawn_blocking(move || command.output()).await.unwrap();
            let output = String::from_utf8(output.unwrap().stdout).unwrap();
            is_alike(&expected, &output)
        })
        .await;
    }
}

/// Starts the gateway of a transcript.
async fn starts(transcript: &str, folder: &Path) -> GatewayProcess {
    let (arguments, _) = commands(transcript).remove(0);
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let file = folder.join(arguments[0]);
    GatewayProcess::start(&file, &arguments[1..], 1).await
}

#[tokio::test]
async fn the_walk_through_works_as_written() {
    let redis = RedisServer::start();
    let chapter = Chapter::read(Node::shared().port(), &redis.url());
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (files, config) = (chapter.blocks("xml"), chapter.blocks("yaml"));
    fs::write(folder.join("services.xml"), files[0]).unwrap();
    let transcripts = chapter.blocks("console");
    let [check, first, second, before, after] = transcripts.as_slice() else {
        panic!("{transcripts:?}");
    };
    runs(check, folder).await;
    let mut leaving = starts(first, folder).await;
    let staying = starts(second, folder).await;

    let communicator = Communicator::new();
    let config = MqConfig::parse(config[0], "config.yml", "server").unwrap();
    communicator.open_mq(config).await.unwrap();
    let calls = format!("mq:{}", chapter.queue("mq_server"));
    let server = Adapter::listen(&communicator, &calls).await.unwrap();
    let seed = Seed {
        name: "server".to_owned(),
        seen: Arc::default(),
        heard: mpsc::channel(1).0,
    };
    server.add_servant(ServerServant::new(seed)).start();
    let gateway = format!("mq:{}", chapter.queue("mq_gateway_b"));
    let gateway = communicator.connect(&gateway).await.unwrap();

    // The balancer.
    let [old, new] = chapter.ports;
    let balancer = Relay::start(old).await;
    let options = Options {
        token: Some("scott".to_owned()),
        resume: true,
        ..Options::default()
    };
    let address = format!("tcp://127.0.0.1:{}", balancer.port);
    let mut scott = Client::connect(&address, folder, options).await.unwrap();
    scott.works().await;
    runs(before, folder).await;

    let has_moved = AtomicBool::new(false);
    let mut count = 0;
    let pushing = async {
        while !has_moved.load(Ordering::Relaxed) {
            let found = within(ITerminalPrx::to_user_anywhere(&gateway, "scott")).await;
            let text = format!("{count}");
            within(found.unwrap().on_message_oneway(&text))
                .await
                .unwrap();
            scott.works().await;
            count += 1;
            sleep(Duration::from_millis(20)).await;
        }
    };
    let moving = async {
        sleep(Duration::from_millis(100)).await;
        balancer.target.send_replace(new);
        leaving.signal(Signal::TERM);
        assert!(leaving.ended().await.success());
        runs(after, folder).await;
        has_moved.store(true, Ordering::Relaxed);
    };
    tokio::join!(pushing, moving);
    for number in 0..count {
        assert_eq!(scott.next_push().await, number.to_string());
    }
    let more = timeout(Duration::from_millis(100), scott.pushed.recv()).await;
    more.expect_err("each push arrives once");
    drop((scott, staying));
}
