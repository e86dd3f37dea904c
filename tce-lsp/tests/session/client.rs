//! A client of the server, over pipes, that counts positions as editors do.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write, pipe},
    ops::Range,
    path::Path,
    thread::{self, JoinHandle},
};

use serde_json::{Value, json};
use tce_idl::{Options, lock};
use tce_lsp::{Project, SessionEnd, serve};

pub(crate) struct Client {
    pub(crate) folder: tempfile::TempDir,
    to_server: Option<PipeWriter>,
    from_server: BufReader<PipeReader>,
    server: JoinHandle<std::io::Result<SessionEnd>>,
    last_id: i32,
    /// The diagnostics that were published last, by file name.
    diagnostics: BTreeMap<String, Value>,
}

impl Client {
    /// A session that is not initialized, in a folder with these files.
    pub(crate) fn connect(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
            fs::write(folder.path().join(name), text).unwrap();
        }
        let (input, to_server) = pipe().unwrap();
        let (from_server, output) = pipe().unwrap();
        let include = folder.path().join("include");
        let index_file = folder.path().join("ifx-index-list.txt");
        let project = move |file: &Path| Project {
            options: Options {
                include_dirs: vec![include.clone()],
                index_files: index_file
                    .exists()
                    .then(|| index_file.clone())
                    .into_iter()
                    .collect(),
                lock_files: lock::find(&[file]),
            },
            ..Project::default()
        };
        Self {
            folder,
            to_server: Some(to_server),
            from_server: BufReader::new(from_server),
            server: thread::spawn(move || serve(input, output, project)),
            last_id: 0,
            diagnostics: BTreeMap::new(),
        }
    }

    /// A session in a folder with these files.
    pub(crate) fn start(files: &[(&str, &str)]) -> Self {
        let mut client = Self::connect(files);
        client.initialize();
        client
    }

    pub(crate) fn initialize(&mut self) -> Value {
        let folder = json!({ "uri": self.uri(""), "name": "test" });
        let params = json!({
            "processId": null, "rootUri": null, "capabilities": {}, "workspaceFolders": [folder],
        });
        self.initialize_with(&params)
    }

    /// Initializes the session with parameters of the caller's choice.
    pub(crate) fn initialize_with(&mut self, params: &Value) -> Value {
        let result = self.ask("initialize", params);
        self.notify("initialized", &json!({}));
        result
    }

    /// Waits for the next request of the server with a method, and answers it with `null`.
    pub(crate) fn asked(&mut self, method: &str) -> Value {
        loop {
            let message = self.read();
            if message["method"] != method {
                continue;
            }
            let id = &message["id"];
            self.send(&json!({ "jsonrpc": "2.0", "id": id, "result": null }));
            return message["params"].clone();
        }
    }

    /// The watchers that the server asks for next.
    pub(crate) fn watchers(&mut self) -> Vec<Value> {
        let params = self.asked("client/registerCapability");
        let registration = &params["registrations"][0];
        assert_eq!(registration["method"], "workspace/didChangeWatchedFiles");
        let watchers = registration["registerOptions"]["watchers"].as_array();
        watchers.unwrap().clone()
    }

    pub(crate) fn uri(&self, name: &str) -> String {
        format!("file://{}", self.folder.path().join(name).display())
    }

    /// Sends bytes without a header.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.to_server.as_mut().unwrap().write_all(bytes).unwrap();
    }

    pub(crate) fn send(&mut self, message: &Value) {
        let text = message.to_string();
        self.send_bytes(format!("Content-Length: {}\r\n\r\n{text}", text.len()).as_bytes());
    }

    pub(crate) fn notify(&mut self, method: &str, params: &Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    /// Sends a request and returns its id.
    pub(crate) fn request(&mut self, method: &str, params: &Value) -> i32 {
        self.last_id += 1;
        let id = self.last_id;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        id
    }

    /// The whole response to a request.
    pub(crate) fn response(&mut self, id: i32) -> Value {
        loop {
            let message = self.read();
            if message["id"] == id {
                return message;
            }
            assert!(
                message["method"].is_string(),
                "a response without a request: {message}"
            );
        }
    }

    /// The result of a request, which must not fail.
    pub(crate) fn ask(&mut self, method: &str, params: &Value) -> Value {
        let id = self.request(method, params);
        let response = self.response(id);
        assert!(response["error"].is_null(), "{response}");
        response["result"].clone()
    }

    /// The error code and message of a request.
    pub(crate) fn refused(&mut self, method: &str, params: &Value) -> (i64, String) {
        let id = self.request(method, params);
        let error = self.response(id)["error"].clone();
        let message = error["message"].as_str().unwrap().to_owned();
        (error["code"].as_i64().unwrap(), message)
    }

    /// The bytes of the next message of the server.
    pub(crate) fn frame(&mut self) -> Vec<u8> {
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.from_server.read_line(&mut line).unwrap();
            match line.trim_end().split_once(": ") {
                Some(("Content-Length", number)) => length = number.parse().unwrap(),
                Some(_) => {}
                None => break,
            }
        }
        let mut bytes = vec![0; length];
        self.from_server.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// The next message of the server.
    pub(crate) fn read(&mut self) -> Value {
        let message: Value = serde_json::from_slice(&self.frame()).unwrap();
        assert_eq!(message["jsonrpc"], "2.0");
        if message["method"] == "textDocument/publishDiagnostics" {
            let uri = message["params"]["uri"].as_str().unwrap();
            let name = uri.strip_prefix(&self.uri("")).unwrap_or(uri);
            let list = message["params"]["diagnostics"].clone();
            self.diagnostics.insert(name.to_owned(), list);
        }
        message
    }

    /// The diagnostics of a file that are published next.
    pub(crate) fn diagnostics(&mut self, name: &str) -> Vec<Value> {
        while !self.diagnostics.contains_key(name) {
            self.read();
        }
        let list = self.diagnostics.remove(name).unwrap();
        list.as_array().unwrap().clone()
    }

    /// The codes of the diagnostics of a file that are published next.
    pub(crate) fn codes(&mut self, name: &str) -> Vec<String> {
        let list = self.diagnostics(name);
        list.iter()
            .map(|it| it["code"].as_str().unwrap().to_owned())
            .collect()
    }

    pub(crate) fn open(&mut self, name: &str, text: &str) {
        let document = json!({
            "uri": self.uri(name), "languageId": "tce-idl", "version": 1, "text": text,
        });
        self.notify("textDocument/didOpen", &json!({ "textDocument": document }));
    }

    pub(crate) fn close(&mut self, name: &str) {
        let document = json!({ "uri": self.uri(name) });
        self.notify(
            "textDocument/didClose",
            &json!({ "textDocument": document }),
        );
    }

    /// Changes an open document with changes of the protocol.
    pub(crate) fn change(&mut self, name: &str, changes: &Value) {
        let document = json!({ "uri": self.uri(name), "version": 2 });
        let params = json!({ "textDocument": document, "contentChanges": changes });
        self.notify("textDocument/didChange", &params);
    }

    /// Parameters for a position in a text: `by` code units after the first `needle`.
    pub(crate) fn at(&self, name: &str, text: &str, needle: &str, by: u32) -> Value {
        let mut position = position(text, text.find(needle).unwrap());
        position["character"] = json!(position["character"].as_u64().unwrap() + u64::from(by));
        json!({ "textDocument": { "uri": self.uri(name) }, "position": position })
    }

    /// Ends the session with `shutdown` and `exit`.
    pub(crate) fn end(mut self) {
        assert_eq!(self.ask("shutdown", &Value::Null), Value::Null);
        self.notify("exit", &Value::Null);
        assert_eq!(self.server.join().unwrap().unwrap(), SessionEnd::Orderly);
    }

    /// Disconnects, and returns the result of the server.
    pub(crate) fn disconnect(mut self) -> std::io::Result<SessionEnd> {
        self.to_server = None;
        self.server.join().unwrap()
    }
}

/// The position of a byte as editors count it.
pub(crate) fn position(text: &str, byte: usize) -> Value {
    let before = &text[..byte];
    let line = before.rsplit('\n').next().unwrap();
    json!({ "line": before.matches('\n').count(), "character": line.encode_utf16().count() })
}

/// The byte of a position.
fn byte(text: &str, position: &Value) -> usize {
    let line = usize::try_from(position["line"].as_u64().unwrap()).unwrap();
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let units = usize::try_from(position["character"].as_u64().unwrap()).unwrap();
    let rest: Vec<u16> = text[start..].encode_utf16().take(units).collect();
    start + String::from_utf16(&rest).unwrap().len()
}

/// The bytes of a range.
pub(crate) fn bytes(text: &str, range: &Value) -> Range<usize> {
    byte(text, &range["start"])..byte(text, &range["end"])
}

/// The text at a range.
pub(crate) fn text_at<'t>(text: &'t str, range: &Value) -> &'t str {
    &text[bytes(text, range)]
}

/// A text after edits of the server.
pub(crate) fn edited(text: &str, edits: &Value) -> String {
    let mut edits = edits.as_array().unwrap().clone();
    edits.sort_by_key(|edit| byte(text, &edit["range"]["start"]));
    let mut edited = text.to_owned();
    for edit in edits.iter().rev() {
        let range = bytes(text, &edit["range"]);
        edited.replace_range(range, edit["newText"].as_str().unwrap());
    }
    edited
}
