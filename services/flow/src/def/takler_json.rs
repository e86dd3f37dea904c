//! Flows in Takler's JSON, as its `to_dict` gives them, to definition text.

use std::fmt::Write;

use serde::Deserialize;
use serde_json::Value;

use crate::tree::is_name;

use super::is_quotable;
use super::parse::MAX_TEXT;

/// Why a JSON is no flow.
#[derive(Debug, thiserror::Error)]
pub enum TaklerJsonError {
    /// The text is too long.
    #[error("the JSON has more than {MAX_TEXT} bytes")]
    TooLong,
    /// It is not JSON, or not of a flow.
    #[error("not a flow in Takler's JSON: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A definition can't hold a part of it.
    #[error("{path}: {problem}")]
    Node {
        /// The node.
        path: String,
        /// What is wrong.
        problem: String,
    },
}

/// One flow, or all flows of a server.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Document {
    Bunch { flows: Vec<Node> },
    Flow(Box<Node>),
}

#[derive(Debug, Deserialize)]
struct Node {
    name: String,
    #[serde(default)]
    class_type: ClassType,
    #[serde(default)]
    children: Vec<Self>,
    default_node_status: Option<u8>,
    #[serde(default)]
    user_parameters: Vec<Parameter>,
    trigger: Option<String>,
    complete_trigger: Option<String>,
    #[serde(default)]
    events: Vec<Event>,
    #[serde(default)]
    meters: Vec<Meter>,
    #[serde(default)]
    limits: Vec<Limit>,
    #[serde(default)]
    in_limit_manager: InLimits,
    repeat: Option<Repeat>,
    #[serde(default)]
    times: Vec<Time>,
    script_path: Option<String>,
    /// Tasks have it, containers do not.
    try_no: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
struct ClassType {
    #[serde(default)]
    name: String,
}

#[derive(Debug, Deserialize)]
struct Parameter {
    name: String,
    value: Value,
}

#[derive(Debug, Deserialize)]
struct Event {
    name: String,
    #[serde(default)]
    initial_value: bool,
}

#[derive(Debug, Deserialize)]
struct Meter {
    name: String,
    min_value: i32,
    max_value: i32,
}

#[derive(Debug, Deserialize)]
struct Limit {
    name: String,
    limit: u32,
}

#[derive(Debug, Default, Deserialize)]
struct InLimits {
    #[serde(default)]
    in_limit_list: Vec<InLimit>,
}

#[derive(Debug, Deserialize)]
struct InLimit {
    limit_name: String,
    node_path: Option<String>,
    #[serde(default = "one")]
    tokens: u32,
}

fn one() -> u32 {
    1
}

#[derive(Debug, Deserialize)]
struct Repeat {
    r: RepeatDate,
}

#[derive(Debug, Deserialize)]
struct RepeatDate {
    name: String,
    start_date: String,
    end_date: String,
    step: i32,
}

#[derive(Debug, Deserialize)]
struct Time {
    time: String,
}

/// Takler's numbers of the states that may be a default.
const COMPLETE: u8 = 2;
const QUEUED: u8 = 3;

/// The definition of a flow, or of all flows of a server, in Takler's JSON. States and values are
/// left out: what is loaded has not begun.
///
/// # Errors
///
/// [`TaklerJsonError`].
pub fn from_takler_json(text: &str) -> Result<String> {
    if text.len() > MAX_TEXT {
        return Err(TaklerJsonError::TooLong);
    }
    // Of an untagged document serde would say no more than that it fits neither.
    let is_bunch = serde_json::from_str::<Value>(text)?.get("flows").is_some();
    let document = if is_bunch {
        serde_json::from_str(text)?
    } else {
        Document::Flow(serde_json::from_str(text)?)
    };
    let flows = match document {
        Document::Bunch { flows } => flows,
        Document::Flow(flow) => vec![*flow],
    };
    let mut writer = Writer {
        text: String::new(),
        path: Vec::new(),
    };
    for flow in &flows {
        writer.node(flow)?;
    }
    Ok(writer.text)
}

struct Writer {
    text: String,
    /// The names down to the node that is written.
    path: Vec<String>,
}

type Result<T> = std::result::Result<T, TaklerJsonError>;

impl Writer {
    fn error(&self, problem: impl Into<String>) -> TaklerJsonError {
        TaklerJsonError::Node {
            path: format!("/{}", self.path.join("/")),
            problem: problem.into(),
        }
    }

    fn line(&mut self, level: usize, line: std::fmt::Arguments<'_>) {
        _ = writeln!(self.text, "{:width$}{line}", "", width = 2 * level);
    }

    fn node(&mut self, node: &Node) -> Result<()> {
        let level = self.path.len();
        self.path.push(node.name.clone());
        self.require_name("node", &node.name)?;
        let is_container = matches!(node.class_type.name.as_str(), "NodeContainer" | "Flow");
        let is_task = !is_container && node.try_no.is_some() && node.children.is_empty();
        let keyword = match (level, is_task) {
            (0, true) => return Err(self.error("a task is no flow")),
            (0, false) => "suite",
            (_, true) => "task",
            (_, false) => "family",
        };
        self.line(level, format_args!("{keyword} {}", node.name));
        self.attributes(node, level + 1)?;
        for child in &node.children {
            self.node(child)?;
        }
        if !is_task {
            self.line(level, format_args!("end{keyword}"));
        }
        self.path.pop();
        Ok(())
    }

    fn attributes(&mut self, node: &Node, level: usize) -> Result<()> {
        match node.default_node_status {
            None | Some(QUEUED) => {}
            Some(COMPLETE) => self.line(level, format_args!("defstatus complete")),
            Some(other) => return Err(self.error(format!("default_node_status can't be {other}"))),
        }
        for (keyword, expression) in [
            ("complete", &node.complete_trigger),
            ("trigger", &node.trigger),
        ] {
            if let Some(expression) = expression {
                // What would end the statement, or begin a comment, is no part of an expression.
                if expression.contains([';', '#', '\\']) {
                    return Err(self.error(format!("`{expression}` is no expression")));
                }
                let expression = expression.split_whitespace().collect::<Vec<_>>().join(" ");
                self.line(level, format_args!("{keyword} {expression}"));
            }
        }
        if let Some(Repeat { r }) = &node.repeat {
            let words = [&r.name, &r.start_date, &r.end_date];
            for word in words {
                self.require_name("repeat", word)?;
            }
            let [name, from, to] = words;
            self.line(
                level,
                format_args!("repeat date {name} {from} {to} {}", r.step),
            );
        }
        self.parameters(node, level)?;
        self.limits(node, level)?;
        for meter in &node.meters {
            self.require_name("meter", &meter.name)?;
            let Meter {
                name,
                min_value,
                max_value,
            } = meter;
            self.line(level, format_args!("meter {name} {min_value} {max_value}"));
        }
        for event in &node.events {
            self.require_name("event", &event.name)?;
            let set = if event.initial_value { " set" } else { "" };
            self.line(level, format_args!("event {}{set}", event.name));
        }
        for time in &node.times {
            if !time
                .time
                .chars()
                .all(|letter| letter.is_ascii_digit() || letter == ':')
            {
                return Err(self.error(format!("`{}` is no time", time.time)));
            }
            self.line(level, format_args!("time {}", time.time));
        }
        Ok(())
    }

    fn parameters(&mut self, node: &Node, level: usize) -> Result<()> {
        let script = node.script_path.as_ref().filter(|_| {
            // A parameter of the user takes precedence, in Takler, too.
            let mut parameters = node.user_parameters.iter();
            !parameters.any(|parameter| parameter.name == "TAKLER_SCRIPT")
        });
        if let Some(script) = script {
            self.parameter("TAKLER_SCRIPT", script, level)?;
        }
        for parameter in &node.user_parameters {
            // As Python writes them where a script names them.
            let value = match &parameter.value {
                Value::String(text) => text.clone(),
                Value::Bool(true) => "True".to_owned(),
                Value::Bool(false) => "False".to_owned(),
                Value::Number(number) => number.to_string(),
                Value::Null => "None".to_owned(),
                Value::Array(_) | Value::Object(_) => {
                    let problem = format!("the value of `{}` is no text", parameter.name);
                    return Err(self.error(problem));
                }
            };
            self.parameter(&parameter.name, &value, level)?;
        }
        Ok(())
    }

    fn parameter(&mut self, name: &str, value: &str, level: usize) -> Result<()> {
        self.require_name("parameter", name)?;
        if !is_quotable(value) {
            let problem = format!("a definition can't hold the value of `{name}`");
            return Err(self.error(problem));
        }
        let quote = if value.contains('\'') { '"' } else { '\'' };
        self.line(level, format_args!("edit {name} {quote}{value}{quote}"));
        Ok(())
    }

    fn limits(&mut self, node: &Node, level: usize) -> Result<()> {
        for Limit { name, limit } in &node.limits {
            self.require_name("limit", name)?;
            self.line(level, format_args!("limit {name} {limit}"));
        }
        for in_limit in &node.in_limit_manager.in_limit_list {
            self.require_name("in-limit", &in_limit.limit_name)?;
            let owner = match &in_limit.node_path {
                Some(path)
                    if path
                        .chars()
                        .any(|letter| letter.is_whitespace() || letter == ';') =>
                {
                    return Err(self.error(format!("`{path}` is no path")));
                }
                Some(path) => format!("{path}:"),
                None => String::new(),
            };
            let tokens = match in_limit.tokens {
                1 => String::new(),
                tokens => format!(" {tokens}"),
            };
            self.line(
                level,
                format_args!("inlimit {owner}{}{tokens}", in_limit.limit_name),
            );
        }
        Ok(())
    }

    fn require_name(&self, what: &str, name: &str) -> Result<()> {
        if is_name(name) {
            Ok(())
        } else {
            Err(self.error(format!("`{name}` is no name of a {what}")))
        }
    }
}
