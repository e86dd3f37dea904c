//! A case for each frame of `tests/vectors`, which existing implementations have sent:
//! a server that gets it must see its values, and return what encodes to the same
//! bytes; a client that calls with its values must send the same parameters.

use std::{fs, path::Path};

use serde_json::{Map, Value, json};
use tce_idl::model::{Interface, Model, Operation, Type};

use crate::{
    case::{
        Arrival, Arrivals, Call, Case, Expectation, ExpectedMessage, Finish, Message, Part, Role,
        Step, Text, WireMessage,
    },
    protocol::Interfaces,
};

/// The implementations whose frames were recorded.
const RECORDINGS: [&str; 3] = ["python", "java", "javascript"];

/// The cases of all recorded frames; `tests` is the folder with them and their IDL.
pub(crate) fn cases(tests: &Path) -> Result<Vec<Case>, String> {
    let models = [
        model(&tests.join("idl/test.idl"))?,
        model(&tests.join("idl/zoo.idl"))?,
    ];
    let mut cases = Vec::new();
    for name in RECORDINGS {
        let path = tests.join(format!("vectors/{name}-client.json"));
        let wrong = |cause: String| format!("{}: {cause}", path.display());
        let text = fs::read_to_string(&path).map_err(|cause| wrong(cause.to_string()))?;
        let file: Value = serde_json::from_str(&text).map_err(|cause| wrong(cause.to_string()))?;
        let frames = file["frames"].as_array().map_or(&[][..], Vec::as_slice);
        for (index, frame) in frames.iter().enumerate() {
            let recorded = Recorded::new(&models, frame)
                .ok_or_else(|| wrong(format!("frame {index} is incomplete")))?;
            cases.extend(recorded.cases(&format!("recorded_{name}_{}", index + 1)));
        }
    }
    Ok(cases)
}

fn model(path: &Path) -> Result<Model, String> {
    let compiled = tce_idl::compile(&[path], &tce_idl::Options::new());
    let model = compiled.model;
    model.ok_or_else(|| format!("{} does not compile", path.display()))
}

/// A recorded CALL.
struct Recorded<'a> {
    frame: &'a Value,
    serve: Interfaces,
    /// `Server.echo`
    name: String,
    interface: &'a Interface,
    operation: &'a Operation,
    /// The parameters as the protocol carries them.
    args: Vec<Value>,
    params: Vec<Part>,
    extra: Vec<(String, String)>,
    is_oneway: bool,
}

impl<'a> Recorded<'a> {
    fn new(models: &'a [Model], frame: &'a Value) -> Option<Self> {
        let full_name = frame["operation"].as_str()?;
        let mut names = full_name.split("::");
        let (module, of, called) = (names.next()?, names.next()?, names.next()?);
        let mut declared = models.iter();
        let model = declared.find(|model| model.modules.iter().any(|it| it.name == module))?;
        let interface = model.interfaces.iter().find(|it| it.name == of)?;
        let operation = interface.operations.iter().find(|it| it.name == called)?;
        let values = frame["values"].as_array()?;
        let typed = operation.parameters.iter().zip(values);
        let extra = frame["extra"].as_object()?.iter();
        let calltype = frame["calltype"].as_u64()?;
        Some(Self {
            frame,
            serve: match module {
                "test" => Interfaces::Test,
                _ => Interfaces::Conformance,
            },
            name: format!("{of}.{called}"),
            interface,
            operation,
            args: typed
                .map(|(parameter, value)| protocol_value(model, parameter.ty, value))
                .collect(),
            params: vec![Part::Hex(frame["params"].as_str()?.to_owned())],
            extra: extra
                .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
                .collect(),
            is_oneway: calltype & 0x20 != 0,
        })
    }

    fn cases(&self, name: &str) -> [Case; 2] {
        let case = |side: &str, about: &str, driver_is, steps| Case {
            name: format!("{name}_{side}"),
            about: format!("{about} ({})", self.name),
            driver_is: Some(driver_is),
            only: None,
            serve: self.serve,
            token: None,
            device_id: None,
            resume: false,
            steps,
        };
        [
            case(
                "served",
                "A recorded CALL has its values at the servant, and a RETURN of the same bytes.",
                Role::Client,
                self.served(),
            ),
            case(
                "sent",
                "A call with the values of a recorded CALL has the same parameters.",
                Role::Server,
                self.sent(),
            ),
        ]
    }

    /// The result: all operations return their parameter, or nothing.
    fn result(&self) -> Vec<Part> {
        match self.operation.returns {
            Some(_) => self.params.clone(),
            None => Vec::new(),
        }
    }

    fn served(&self) -> Vec<Step> {
        let writes = match self.frame["websocket_messages"].as_array() {
            Some(messages) => messages.iter().filter_map(Value::as_str).collect(),
            None => vec![self.frame["frame"].as_str().unwrap_or_default()],
        };
        let writes = writes
            .into_iter()
            .map(|hex| vec![Part::Hex(hex.to_owned())]);
        let own = self.extra.iter().filter(|(key, _)| !key.starts_with("__"));
        let sequence = self.frame["sequence"].as_u64();
        let returned = Step::Expect(Expectation::Return(ExpectedMessage {
            sequence: sequence.and_then(|sequence| u32::try_from(sequence).ok()),
            interface: Some(self.interface.index),
            operation: Some(self.operation.index),
            params: Some(self.result()),
            ..ExpectedMessage::default()
        }));
        let arrived = Step::Received(Arrivals {
            by: Role::Server,
            calls: vec![Arrival {
                operation: self.name.clone(),
                args: self.args.clone(),
                extra: Some(own.cloned().collect()),
                is_oneway: Some(self.is_oneway),
                count: 1,
            }],
        });
        let mut steps = vec![Step::Send(Message::Bytes(writes.collect()))];
        if !self.is_oneway {
            steps.push(returned);
        }
        steps.push(arrived);
        steps
    }

    fn sent(&self) -> Vec<Step> {
        let call = Call {
            operation: self.name.clone(),
            args: self.args.clone(),
            extra: self
                .extra
                .iter()
                .map(|(key, value)| (key.clone(), json!(value)))
                .collect(),
            r#as: Some("recorded".to_owned()),
            ..Call::default()
        };
        let expected = Step::Expect(Expectation::Call(ExpectedMessage {
            interface: Some(self.interface.index),
            operation: Some(self.operation.index),
            extra: Some(self.extra.iter().map(|(k, v)| (utf8(k), utf8(v))).collect()),
            params: Some(self.params.clone()),
            ..ExpectedMessage::default()
        }));
        if self.is_oneway {
            return vec![Step::Oneway(call), expected];
        }
        let returned = Step::Send(Message::Return(WireMessage {
            interface: self.interface.index,
            operation: self.operation.index,
            params: self.result(),
            ..WireMessage::default()
        }));
        let finished = Step::Finish(Finish {
            r#as: "recorded".to_owned(),
            count: 1,
            result: self
                .operation
                .returns
                .and_then(|_| self.args.first().cloned()),
            error: None,
            extra: None,
        });
        vec![Step::Start(call), expected, returned, finished]
    }
}

fn utf8(text: &str) -> Text {
    Text::Utf8(text.to_owned())
}

/// A value of a recording as the protocol carries it: bytes are recorded as numbers,
/// dictionaries as objects.
fn protocol_value(model: &Model, ty: Type, value: &Value) -> Value {
    match ty {
        Type::Sequence(id) => {
            let items = value.as_array().map_or(&[][..], Vec::as_slice);
            match model.sequence(id).element {
                Type::Byte => {
                    let bytes = items.iter().filter_map(Value::as_u64);
                    json!({ "bytes": bytes.map(|byte| format!("{byte:02x}")).collect::<String>() })
                }
                element => items
                    .iter()
                    .map(|item| protocol_value(model, element, item))
                    .collect(),
            }
        }
        Type::Dictionary(id) => {
            let dictionary = model.dictionary(id);
            let empty = Map::new();
            let entries = value.as_object().unwrap_or(&empty).iter();
            let pairs: Vec<_> = entries
                .map(|(key, value)| {
                    let key = match dictionary.key {
                        Type::String => json!(key),
                        _ => json!(key.parse::<i64>().unwrap_or_default()),
                    };
                    json!([key, protocol_value(model, dictionary.value, value)])
                })
                .collect();
            json!({ "map": pairs })
        }
        Type::Struct(id) => {
            let members = model.struct_(id).members.iter();
            members
                .map(|member| {
                    let value = protocol_value(model, member.ty, &value[&member.name]);
                    (member.name.clone(), value)
                })
                .collect()
        }
        _ => value.clone(),
    }
}
