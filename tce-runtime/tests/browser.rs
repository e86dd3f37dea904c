//! A real browser calls a server over WebSocket, and is called back.
//!
//! It needs Debian's package `chromium`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tce_runtime::{
    Adapter, Communicator, Fault, IncomingCall, Proxy, Servant,
    config::{Options, WebSocketOptions},
    wire::Operation,
};
use tokio::sync::mpsc;

const CHROMIUM: &str = "/usr/bin/chromium";
/// Upper bound for each step, the start of a browser on a busy machine included.
const PATIENCE: Duration = Duration::from_secs(90);

/// `void onMessage(string message)` of the page.
static ON_MESSAGE: Operation = Operation::new("page::Terminal::onMessage", 3, 0);

/// The servant of the page: `string echo(string text)`,
/// `string push(string message)`, `void report(string result)`.
struct PageServant(Arc<mpsc::Sender<String>>);

impl Servant for PageServant {
    fn interfaces(&self) -> &[u16] {
        &[2]
    }

    fn dispatch(&self, call: IncomingCall<'_>) {
        match call.opidx() {
            0 => call.run(&self.0, |_, (text,): (String,), ctx| async move {
                (ctx, Ok(text))
            }),
            1 => call.run(&self.0, |_, (text,): (String,), ctx| async move {
                let pushed = Proxy::to_caller(&ctx).oneway(&ON_MESSAGE, (text,)).await;
                let result = pushed.map(|()| "pushed".to_owned());
                (ctx, result.map_err(Fault::from))
            }),
            2 => call.run(&self.0, |reports, (text,): (String,), ctx| async move {
                (ctx, reports.send(text).await.map_err(Fault::from))
            }),
            _ => call.unknown_operation(),
        }
    }
}

/// A browser that shows one page; killed when dropped.
struct Browser(Child);

impl Browser {
    fn open(site: &Site, adapter: &Adapter, profile: &Path) -> Self {
        assert!(
            Path::new(CHROMIUM).exists(),
            "{CHROMIUM} is missing; on Debian: apt-get install --yes chromium"
        );
        let child = Command::new(CHROMIUM)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                // Without it the browser ends when the page is loaded.
                "--remote-debugging-port=0",
            ])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg(format!(
                "http://{}/page.html?{}",
                site.address,
                adapter.endpoint().port
            ))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("the browser starts"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The HTTP server of the page, and the requests that it receives: the last one
/// reports how the page's WebSocket ended.
struct Site {
    address: SocketAddr,
    requests: mpsc::Receiver<String>,
}

impl Site {
    fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("it listens");
        let (sender, requests) = mpsc::channel(100);
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let sender = sender.clone();
                // A browser opens connections before it has requests for them.
                thread::spawn(move || answer(socket, &sender));
            }
        });
        Self { address, requests }
    }

    /// The end of the WebSocket as the page reports it.
    async fn closed(&mut self) -> String {
        loop {
            let request = within("the close report", self.requests.recv()).await;
            if let Some(how) = request.unwrap().strip_prefix("GET /closed?") {
                return how.split(' ').next().unwrap().to_owned();
            }
        }
    }
}

/// Answers any request with the page.
fn answer(mut socket: TcpStream, sender: &mpsc::Sender<String>) {
    let request = BufReader::new(&socket).lines().map_while(Result::ok);
    let head: Vec<String> = request.take_while(|line| !line.is_empty()).collect();
    let page = include_str!("browser/page.html");
    let length = page.len();
    // A browser that has disconnected needs no answer.
    let _ = write!(
        socket,
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{page}"
    );
    if let Some(line) = head.into_iter().next() {
        let _ = sender.blocking_send(line);
    }
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let within = tokio::time::timeout(PATIENCE, future).await;
    within.unwrap_or_else(|_| panic!("{what}: nothing within {PATIENCE:?}"))
}

#[tokio::test]
async fn a_page_calls_and_is_called() {
    let mut site = Site::serve();
    let websocket = WebSocketOptions {
        origins: vec![format!("http://{}", site.address)],
    };
    let communicator = Communicator::with_options(Options {
        websocket,
        ..Options::default()
    });
    let adapter = Adapter::listen(&communicator, "ws://127.0.0.1:0/page?compress=1");
    let adapter = adapter.await.unwrap();
    let (reports, mut reported) = mpsc::channel(10);
    adapter.add_servant(PageServant(Arc::new(reports)));
    adapter.start();

    let profile = tempfile::tempdir().unwrap();
    let browser = Browser::open(&site, &adapter, profile.path());
    let report = within("the page's report", reported.recv()).await.unwrap();
    let report: Value = serde_json::from_str(&report).expect(&report);
    let expected = json!({
        "echoed": "小猫 from a page",
        "both": ["a", "b"],
        "whole": true,
        "pushed": "server push message!",
        "extensions": "",
    });
    assert_eq!(report, expected);

    // The shutdown does a close handshake with the open page.
    assert!(communicator.shutdown(PATIENCE).await);
    assert_eq!(site.closed().await, "code=1001&clean=true");
    drop(browser);
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused() {
    let mut site = Site::serve();
    let websocket = WebSocketOptions {
        origins: vec!["https://elsewhere.example.org".to_owned()],
    };
    let communicator = Communicator::with_options(Options {
        websocket,
        ..Options::default()
    });
    let adapter = Adapter::listen(&communicator, "ws://127.0.0.1:0/page").await;
    let adapter = adapter.unwrap();
    let (sender, mut connected) = mpsc::channel(10);
    adapter.on_event(move |_, _| sender.try_send(()).expect("the channel has capacity"));
    adapter.start();
    let profile = tempfile::tempdir().unwrap();
    let browser = Browser::open(&site, &adapter, profile.path());
    assert_eq!(site.closed().await, "code=1006&clean=false");
    assert!(connected.try_recv().is_err(), "no connection was accepted");
    drop(browser);
}
