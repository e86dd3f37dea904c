//! One session: its phases, and the messages that are valid in each.

mod capabilities;
mod dispatch;

use std::{
    io::{self, Write},
    path::Path,
    sync::mpsc::Receiver,
    time::{Duration, Instant},
};

use ls_types::{
    InitializeParams, LogMessageParams, MessageType,
    notification::{Exit, LogMessage, Notification as _},
    request::{Initialize, Request as _, Shutdown},
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
    workspace::Workspace,
};

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
                // The server sends no requests, so that it expects no responses.
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
        let Request { id, method, params } = request;
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
        let folders = params.workspace_folders.unwrap_or_default();
        self.workspace.folders = folders.iter().map(|it| path_of(&it.uri)).collect();
        self.send(Response::new_ok(id, capabilities::answer()))
    }

    /// Ignores notifications before `initialize` and after `shutdown`.
    fn notification(&mut self, notification: Notification) -> io::Result<()> {
        if self.phase != SessionPhase::Running {
            return Ok(());
        }
        match dispatch::notification(&mut self.workspace, notification) {
            Ok(false) => Ok(()),
            Ok(true) => {
                self.publish_at = Some(Instant::now() + PAUSE);
                Ok(())
            }
            Err(error) => self.log(error.to_string()),
        }
    }

    /// Publishes the diagnostics that have changed.
    fn publish(&mut self) -> io::Result<()> {
        self.publish_at = None;
        for changed in self.published.update(&mut self.workspace) {
            self.notify::<ls_types::notification::PublishDiagnostics>(changed)?;
        }
        Ok(())
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
