//! `--template`: arguments to fill in.

use serde_json::{Map, Value, json};
use tce_idl::model::{Model, Parameter, StructId, Type};

/// An object with a value for each parameter.
pub(super) fn of(model: &Model, parameters: &[Parameter]) -> Value {
    let mut template = Template {
        model,
        within: Vec::new(),
    };
    let values = parameters.iter();
    let values = values.map(|parameter| (parameter.name.to_string(), template.value(parameter.ty)));
    Value::Object(values.collect())
}

struct Template<'m> {
    model: &'m Model,
    /// The structs that contain the value. A struct contains itself only in sequences and
    /// dictionaries, which are left empty then.
    within: Vec<StructId>,
}

impl Template<'_> {
    fn value(&mut self, ty: Type) -> Value {
        match ty {
            Type::Byte | Type::Short | Type::Int | Type::Long => json!(0),
            Type::Float | Type::Double => json!(0.0),
            Type::Bool => json!(false),
            Type::String => json!(""),
            Type::Enum(_) => json!(self.first_member(ty)),
            Type::Struct(id) => {
                self.within.push(id);
                let members = &self.model.struct_(id).members;
                let values = members.iter();
                let values = values.map(|member| (member.name.to_string(), self.value(member.ty)));
                let values: Map<_, _> = values.collect();
                self.within.pop();
                Value::Object(values)
            }
            Type::Sequence(id) => match self.model.sequence(id).element {
                // Bytes are base64.
                Type::Byte => json!(""),
                element if self.is_within(element) => json!([]),
                element => json!([self.value(element)]),
            },
            Type::Dictionary(id) => {
                let dictionary = self.model.dictionary(id);
                if self.is_within(dictionary.value) {
                    return json!({});
                }
                let key = match dictionary.key {
                    Type::String => "",
                    Type::Bool => "false",
                    Type::Enum(_) => self.first_member(dictionary.key),
                    _ => "0",
                };
                json!({ key: self.value(dictionary.value) })
            }
        }
    }

    /// The name of the first member of an enum.
    fn first_member(&self, ty: Type) -> &str {
        let members = match ty {
            Type::Enum(id) => self.model.enum_(id).members.as_slice(),
            _ => &[],
        };
        members.first().map_or("", |member| &member.name)
    }

    /// Whether a value of the type may contain a struct that contains it. A sequence or dictionary
    /// within is left empty in its turn.
    fn is_within(&self, ty: Type) -> bool {
        matches!(ty, Type::Struct(id) if self.within.contains(&id))
    }
}
