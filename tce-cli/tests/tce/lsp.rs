//! `tce lsp`, run as by an editor. The tests of tce-lsp cover its answers.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use serde_json::{Value, json};

use super::{command, folder};

/// An editor and the language server that it has started.
struct Editor {
    server: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Editor {
    fn start(folder: &Path) -> Self {
        let mut command = command();
        command.args(["lsp", "--stdio"]).current_dir(folder);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server = piped.spawn().unwrap();
        let mut editor = Self {
            input: server.stdin.take().unwrap(),
            output: BufReader::new(server.stdout.take().unwrap()),
            server,
        };
        editor.send(&json!({ "id": 1, "method": "initialize", "params": { "capabilities": {} } }));
        let answer = editor.read();
        assert_eq!(answer["result"]["serverInfo"]["name"], "tce lsp");
        editor.send(&json!({ "method": "initialized", "params": {} }));
        editor
    }

    fn send(&mut self, message: &Value) {
        let text = message.to_string();
        write!(self.input, "Content-Length: {}\r\n\r\n{text}", text.len()).unwrap();
    }

    fn read(&mut self) -> Value {
        let mut header = String::new();
        self.output.read_line(&mut header).unwrap();
        let length = header.trim_end().strip_prefix("Content-Length: ").unwrap();
        let mut bytes = vec![0; 2 + length.parse::<usize>().unwrap()];
        self.output.read_exact(&mut bytes).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    /// Opens a file that is on disk.
    fn open(&mut self, path: &Path) {
        let document = json!({
            "uri": format!("file://{}", path.display()),
            "languageId": "tce-idl",
            "version": 1,
            "text": std::fs::read_to_string(path).unwrap(),
        });
        let params = json!({ "textDocument": document });
        self.send(&json!({ "method": "textDocument/didOpen", "params": params }));
    }

    /// The file and the codes of the next diagnostics.
    fn diagnostics(&mut self) -> (String, Vec<String>) {
        let message = self.read();
        let params = &message["params"];
        let uri = params["uri"].as_str().unwrap();
        let list = params["diagnostics"].as_array().unwrap().iter();
        let codes = list.map(|it| it["code"].as_str().unwrap().to_owned());
        (uri.rsplit('/').next().unwrap().to_owned(), codes.collect())
    }

    /// Ends the session as the protocol requires; the exit status is 0.
    fn end(mut self) {
        self.send(&json!({ "id": 2, "method": "shutdown" }));
        assert_eq!(self.read()["id"], 2);
        self.send(&json!({ "method": "exit" }));
        // The input is still open: editors do not always close it.
        assert_eq!(self.server.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn settings_are_read_from_the_tce_toml_of_the_project() {
    let folder = folder(&[
        (
            "tce.toml",
            "[compile]\ninclude = [\"lib\"]\n[lint]\ndeny = [\"type-case\"]\nallow = [\"unused-type\"]\n",
        ),
        ("lib/base.idl", "module base { struct Id { int a; }; }\n"),
        (
            "idl/m.idl",
            "import base\nmodule m { struct lower { base::Id id; }; }\n",
        ),
    ]);
    let mut editor = Editor::start(Path::new("/"));
    editor.open(&folder.path().join("idl/m.idl"));
    assert_eq!(
        editor.diagnostics(),
        ("m.idl".to_owned(), vec!["TCE0510".to_owned()])
    );
    editor.end();
}

#[test]
fn mistakes_in_tce_toml_are_reported_there() {
    let folder = folder(&[
        ("tce.toml", "[lnt]\n"),
        ("m.idl", "module m { struct S { strng a; }; }\n"),
    ]);
    let mut editor = Editor::start(folder.path());
    editor.open(&folder.path().join("m.idl"));
    let mut diagnostics = [editor.diagnostics(), editor.diagnostics()];
    diagnostics.sort();
    let expected = [("m.idl", "TCE0200"), ("tce.toml", "TCE0601")];
    assert_eq!(
        diagnostics,
        expected.map(|(file, code)| (file.to_owned(), vec![code.to_owned()]))
    );
    editor.end();
}

#[test]
fn an_invalid_message_is_reported() {
    let mut command = command();
    command
        .arg("lsp")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped());
    let mut server = command.spawn().unwrap();
    let mut input = server.stdin.take().unwrap();
    input.write_all(b"hello?\n\n").unwrap();
    drop(input);
    let output = server.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(
        err.contains("error: invalid message on standard input"),
        "{err}"
    );
}
