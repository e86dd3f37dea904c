//! One session: its phases, and the messages that are valid in each.

mod capabilities;
mod dispatch;
mod refresh;
mod watchers;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::mpsc::Receiver,
    time::{Duration, Instant},
};

use ls_types::{
    InitializeParams, LogMessageParams, MessageType,
    notification::{Exit, Initialized, LogMessage, Notification as _},
    request::{Initialize, RegisterCapability, Request as _, Shutdown},
};
use lsp_server::{ErrorCode, Message, Notification, Request, RequestId, Response};
use serde::Serialize;
use serde_json::Value;

use crate::{
    analysis::Project,
    documents::path_of,
    feature::diagnostics::PublishedDiagnostics,
    frame::ClientFrame,
    inbox::{ClientEvent, Inbox},
    uris,
    workspace::{Change, Workspace},
};
use refresh::Refresh;
use watchers::Watchers;

/// The time without a change after which diagnostics are published, so that they are not computed after every key.
const PAUSE: Duration = Duration::from_millis(100);

/// How a session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionEnd {
    /// The client has sent `shutdown`, then `exit`.
    Orderly,
    /// The client has disconnected, or sent `exit` without `shutdown`.
    Abrupt,
}

/// The phase of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SessionPhase {
    Uninitialized,
    Running,
    ShutDown,
}

/// The server side of a session.
pub(crate) struct LanguageServer<W> {
    output: W,
    phase: SessionPhase,
    workspace: Workspace,
    published: PublishedDiagnostics,
    watchers: Watchers,
    refresh: Refresh,
    /// When diagnostics are published next.
    publish_at: Option<Instant>,
}

impl<W: Write> LanguageServer<W> {
    pub(crate) fn new(output: W, project: impl Fn(&Path) -> Project + 'static) -> Self {
        Self {
            output,
            phase: SessionPhase::Uninitialized,
            workspace: Workspace::new(project),
            published: PublishedDiagnostics::default(),
            watchers: Watchers::default(),
            refresh: Refresh::default(),
            publish_at: None,
        }
    }

    /// Serves until the client sends `exit`; `None` if the input ends first.
    pub(crate) fn run(mut self, frames: Receiver<ClientFrame>) -> io::Result<Option<SessionEnd>> {
        let mut inbox = Inbox::new(frames);
        loop {
            match inbox.next(self.publish_at) {
                ClientEvent::Message(Message::Request(request)) => self.request(request)?,
                ClientEvent::Message(Message::Notification(it)) if it.method == Exit::METHOD => {
                    let is_orderly = self.phase == SessionPhase::ShutDown;
                    let ended = if is_orderly {
                        SessionEnd::Orderly
                    } else {
                        SessionEnd::Abrupt
                    };
                    return Ok(Some(ended));
                }
                ClientEvent::Message(Message::Notification(it)) => self.notification(it)?,
                // The server asks the client to watch files and to refresh what it shows,
                // and can do nothing else if the client refuses.
                ClientEvent::Message(Message::Response(_)) => {}
                ClientEvent::Cancelled(id) => {
                    self.refuse(
                        id,
                        ErrorCode::RequestCanceled,
                        "the client has cancelled the request",
                    )?;
                }
                ClientEvent::Malformed(why) => self.log(why)?,
                ClientEvent::Timeout => self.publish()?,
                ClientEvent::End => return Ok(None),
            }
        }
    }

    fn request(&mut self, request: Request) -> io::Result<()> {
        let Request {
            id,
            method,
            mut params,
        } = request;
        uris::encode_all(&mut params);
        match (self.phase, method.as_str()) {
            (SessionPhase::Uninitialized, Initialize::METHOD) => self.initialize(id, params),
            (SessionPhase::Uninitialized, _) => {
                let code = ErrorCode::ServerNotInitialized;
                self.refuse(id, code, "the first request must be `initialize`")
            }
            (SessionPhase::Running, Shutdown::METHOD) => {
                self.phase = SessionPhase::ShutDown;
                self.publish_at = None;
                self.send(Response::new_ok(id, Value::Null))
            }
            (SessionPhase::Running, Initialize::METHOD) | (SessionPhase::ShutDown, _) => {
                let why = format!("`{method}` is not allowed in this phase of the session");
                self.refuse(id, ErrorCode::InvalidRequest, &why)
            }
            (SessionPhase::Running, _) => {
                let response_result = dispatch::request(&mut self.workspace, &method, params);
                self.send(Response {
                    id,
                    response_result,
                })
            }
        }
    }

    fn initialize(&mut self, id: RequestId, params: Value) -> io::Result<()> {
        let params: InitializeParams = match serde_json::from_value(params) {
            Ok(params) => params,
            Err(error) => {
                return self.refuse(id, ErrorCode::InvalidParams, &error.to_string());
            }
        };
        self.phase = SessionPhase::Running;
        self.watchers = Watchers::new(&params.capabilities);
        self.refresh = Refresh::new(&params.capabilities);
        if let Some(options) = &params.initialization_options {
            self.workspace.settings.update(options);
        }
        self.workspace.folders = folders(params);
        self.send(Response::new_ok(id, capabilities::answer()))
    }

    /// Ignores notifications before `initialize` and after `shutdown`.
    fn notification(&mut self, mut notification: Notification) -> io::Result<()> {
        if self.phase != SessionPhase::Running {
            return Ok(());
        }
        if notification.method == Initialized::METHOD {
            return self.watch();
        }
        uris::encode_all(&mut notification.params);
        match dispatch::notification(&mut self.workspace, notification) {
            Ok(Change::Nothing) => Ok(()),
            Ok(change) => {
                if change == Change::Others {
                    self.refresh.set_due();
                }
                self.publish_at = Some(Instant::now() + PAUSE);
                Ok(())
            }
            Err(error) => self.log(error.to_string()),
        }
    }

    /// Publishes the diagnostics that have changed, and has outdated results requested again.
    fn publish(&mut self) -> io::Result<()> {
        self.publish_at = None;
        for changed in self.published.update(&mut self.workspace) {
            self.notify::<ls_types::notification::PublishDiagnostics>(changed)?;
        }
        for request in self.refresh.take() {
            self.send(request)?;
        }
        self.watch()
    }

    /// Asks the client to watch the files that it does not watch yet.
    fn watch(&mut self) -> io::Result<()> {
        let Some((id, params)) = self.watchers.update(&self.workspace) else {
            return Ok(());
        };
        let method = RegisterCapability::METHOD.to_owned();
        self.send(Request::new(id, method, params))
    }

    fn log(&mut self, message: String) -> io::Result<()> {
        self.notify::<LogMessage>(LogMessageParams {
            typ: MessageType::ERROR,
            message,
        })
    }

    fn notify<N>(&mut self, params: N::Params) -> io::Result<()>
    where
        N: ls_types::notification::Notification,
        N::Params: Serialize,
    {
        self.send(Notification::new(N::METHOD.to_owned(), params))
    }

    fn refuse(&mut self, id: RequestId, code: ErrorCode, why: &str) -> io::Result<()> {
        self.send(Response::new_err(id, code as i32, why.to_owned()))
    }

    fn send(&mut self, message: impl Into<Message>) -> io::Result<()> {
        message.into().write(&mut self.output)
    }
}

/// The folders that the editor has open: as current clients name them, or by one of
/// the two ways of the protocol's earlier versions.
#[expect(deprecated, reason = "earlier clients name their folder only so")]
fn folders(params: InitializeParams) -> Vec<PathBuf> {
    let folders = params.workspace_folders.unwrap_or_default();
    if !folders.is_empty() {
        return folders.iter().map(|it| path_of(&it.uri)).collect();
    }
    let root = params.root_uri.as_ref().map(path_of);
    let path = || params.root_path.filter(|path| !path.is_empty());
    let root = root.or_else(|| path().map(PathBuf::from));
    root.into_iter().collect()
}
