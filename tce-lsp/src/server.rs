//! One session: who may say what when, and who answers.

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
    feature::diagnostics::Board,
    files::path_of,
    frame::Frame,
    inbox::{Event, Inbox},
    project::Project,
    world::World,
};

/// How long nothing must change before diagnostics are told: nobody reads them between two keys.
const PAUSE: Duration = Duration::from_millis(100);

/// How a client has ended its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// As the protocol wants it: `shutdown`, then `exit`.
    Asked,
    /// It is gone, or has said `exit` alone.
    Abruptly,
}

/// How far the session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    New,
    Running,
    ShutDown,
}

/// The server's side of a session.
pub(crate) struct Server<W> {
    output: W,
    phase: Phase,
    world: World,
    board: Board,
    /// When diagnostics are to be told.
    due: Option<Instant>,
}

impl<W: Write> Server<W> {
    pub(crate) fn new(output: W, project: impl Fn(&Path) -> Project + 'static) -> Self {
        Self {
            output,
            phase: Phase::New,
            world: World::new(project),
            board: Board::default(),
            due: None,
        }
    }

    /// Serves until the client says `exit`; `None` where nothing comes any more.
    pub(crate) fn run(mut self, frames: Receiver<Frame>) -> io::Result<Option<Ended>> {
        let mut inbox = Inbox::new(frames);
        loop {
            match inbox.next(self.due) {
                Event::Message(Message::Request(request)) => self.request(request)?,
                Event::Message(Message::Notification(it)) if it.method == Exit::METHOD => {
                    let was_asked = self.phase == Phase::ShutDown;
                    let ended = if was_asked {
                        Ended::Asked
                    } else {
                        Ended::Abruptly
                    };
                    return Ok(Some(ended));
                }
                Event::Message(Message::Notification(it)) => self.notification(it)?,
                // Nothing was asked of the client.
                Event::Message(Message::Response(_)) => {}
                Event::Cancelled(id) => {
                    self.refuse(
                        id,
                        ErrorCode::RequestCanceled,
                        "the client has cancelled it",
                    )?;
                }
                Event::Malformed(why) => self.log(why)?,
                Event::Quiet => self.tell()?,
                Event::End => return Ok(None),
            }
        }
    }

    fn request(&mut self, request: Request) -> io::Result<()> {
        let Request { id, method, params } = request;
        match (self.phase, method.as_str()) {
            (Phase::New, Initialize::METHOD) => self.initialize(id, params),
            (Phase::New, _) => {
                let code = ErrorCode::ServerNotInitialized;
                self.refuse(id, code, "`initialize` comes first")
            }
            (Phase::Running, Shutdown::METHOD) => {
                self.phase = Phase::ShutDown;
                self.due = None;
                self.send(Response::new_ok(id, Value::Null))
            }
            (Phase::Running, Initialize::METHOD) | (Phase::ShutDown, _) => {
                let why = format!("`{method}` comes too late");
                self.refuse(id, ErrorCode::InvalidRequest, &why)
            }
            (Phase::Running, _) => {
                let response_result = dispatch::request(&mut self.world, &method, params);
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
        self.phase = Phase::Running;
        let folders = params.workspace_folders.unwrap_or_default();
        self.world.folders = folders.iter().map(|it| path_of(&it.uri)).collect();
        self.send(Response::new_ok(id, capabilities::answer()))
    }

    /// Notifications that come too early or too late are nobody's.
    fn notification(&mut self, notification: Notification) -> io::Result<()> {
        if self.phase != Phase::Running {
            return Ok(());
        }
        match dispatch::notification(&mut self.world, notification) {
            Ok(false) => Ok(()),
            Ok(true) => {
                self.due = Some(Instant::now() + PAUSE);
                Ok(())
            }
            Err(error) => self.log(error.to_string()),
        }
    }

    /// Tells the diagnostics that have changed.
    fn tell(&mut self) -> io::Result<()> {
        self.due = None;
        for news in self.board.news(&mut self.world) {
            self.notify::<ls_types::notification::PublishDiagnostics>(news)?;
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
