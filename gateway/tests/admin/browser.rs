//! A browser with one page, controlled by the DevTools protocol.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

const CHROMIUM: &str = "/usr/bin/chromium";
/// Long enough for a browser to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(50);

/// Dropping it ends the process.
pub(crate) struct Browser {
    devtools: WebSocketStream<TcpStream>,
    /// The protocol's id of the page, once it is open.
    session: Option<String>,
    _process: Process,
}

impl Browser {
    /// Opens a page.
    pub(crate) async fn open(url: &str) -> Self {
        let process = Process::start();
        let devtools = timeout(PATIENCE, connect(process.profile.path())).await;
        let mut browser = Self {
            devtools: devtools.expect("the browser starts"),
            session: None,
            _process: process,
        };
        let page = browser
            .ask("Target.createTarget", json!({ "url": url }))
            .await
            .unwrap();
        let page = json!({ "targetId": page["targetId"], "flatten": true });
        let attached = browser.ask("Target.attachToTarget", page).await.unwrap();
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        browser
    }

    /// Shows the page as on a screen of this width, in CSS pixels.
    pub(crate) async fn set_width(&mut self, width: u32) {
        let screen = json!({
            "width": width, "height": 740, "deviceScaleFactor": 2, "mobile": true,
        });
        let set = self.ask("Emulation.setDeviceMetricsOverride", screen).await;
        set.unwrap();
    }

    /// The value of a JavaScript expression.
    pub(crate) async fn eval(&mut self, expression: &str) -> Value {
        let evaluated = self.try_eval(expression).await;
        evaluated.unwrap_or_else(|failure| panic!("{expression}: {failure}"))
    }

    /// Waits until an expression has a value.
    pub(crate) async fn until(&mut self, expression: &str, expected: impl Into<Value>) {
        let expected = Ok(expected.into());
        let mut seen = Err(Value::Null);
        let waiting = async {
            while seen != expected {
                sleep(PAUSE).await;
                seen = self.try_eval(expression).await;
            }
        };
        let came = timeout(PATIENCE, waiting).await;
        assert!(
            came.is_ok(),
            "{expression} is {seen:?} and not {expected:?}"
        );
    }

    /// Fails while the page is loading.
    async fn try_eval(&mut self, expression: &str) -> Result<Value, Value> {
        let parameters = json!({
            "expression": expression, "returnByValue": true, "awaitPromise": true,
        });
        let mut result = self.ask("Runtime.evaluate", parameters).await?;
        match result["exceptionDetails"].take() {
            Value::Null => Ok(result["result"]["value"].take()),
            failure => Err(failure),
        }
    }

    async fn ask(&mut self, method: &str, parameters: Value) -> Result<Value, Value> {
        let mut request = json!({ "id": 1, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            request["sessionId"] = json!(session);
        }
        let request = Message::text(request.to_string());
        self.devtools
            .send(request)
            .await
            .expect("the browser is there");
        loop {
            let answer = timeout(PATIENCE, self.devtools.next()).await;
            let answer = answer.expect("it answers").expect("it stays").unwrap();
            let Message::Text(text) = answer else {
                continue;
            };
            let mut answer: Value = serde_json::from_str(&text).unwrap();
            // Other messages are events, not answers.
            if answer["id"] == 1 {
                return match answer["error"].take() {
                    Value::Null => Ok(answer["result"].take()),
                    failure => Err(failure),
                };
            }
        }
    }
}

/// Connects as soon as the browser has written its port to a file.
async fn connect(profile: &Path) -> WebSocketStream<TcpStream> {
    let file = profile.join("DevToolsActivePort");
    loop {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        if let Some((port, path)) = text.split_once('\n') {
            let address = format!("127.0.0.1:{port}");
            let socket = TcpStream::connect(&address).await.unwrap();
            let url = format!("ws://{address}{path}");
            return client_async(url, socket).await.unwrap().0;
        }
        sleep(PAUSE).await;
    }
}

struct Process {
    child: Child,
    profile: TempDir,
}

impl Process {
    fn start() -> Self {
        assert!(
            Path::new(CHROMIUM).exists(),
            "{CHROMIUM} is missing; on Debian: apt-get install --yes chromium"
        );
        let profile = tempfile::tempdir().unwrap();
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
                "--remote-debugging-port=0",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self {
            child: child.expect("the browser starts"),
            profile,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text of an element.
pub(crate) fn text(id: &str) -> String {
    format!("document.getElementById('{id}').textContent")
}

/// The texts of the first row of a table.
pub(crate) fn first_row(id: &str) -> String {
    format!("[...document.getElementById('{id}').rows[0]?.cells ?? []].map((c) => c.textContent)")
}
