//! Random values of the types of an IDL, the same ones in each run.

use fastrand::Rng;
use serde_json::{Value, json};
use tce_idl::model::{Model, Type};

/// The most elements of a sequence, pairs of a dictionary and characters of a string.
const MAX_LENGTH: usize = 4;

/// A value of a struct of the model, as a case would write it; `None` if there is no such
/// struct.
pub(crate) fn random_struct(model: &Model, name: &str, seed: u64) -> Option<Value> {
    let declared = model.structs.iter().position(|it| it.name == name)?;
    let id = tce_idl::model::StructId(u32::try_from(declared).ok()?);
    Some(value(model, Type::Struct(id), &mut Rng::with_seed(seed)))
}

fn value(model: &Model, ty: Type, rng: &mut Rng) -> Value {
    match ty {
        Type::Byte => json!(rng.u8(..)),
        Type::Bool => json!(rng.bool()),
        Type::Short => json!(rng.i16(..)),
        Type::Int => json!(rng.i32(..)),
        Type::Long => json!(rng.i64(..)),
        Type::Float => double(f64::from(f32::from_bits(rng.u32(..)))),
        Type::Double => double(f64::from_bits(rng.u64(..))),
        Type::String => json!(text(rng)),
        Type::Enum(_) => json!(rng.i32(..)),
        Type::Struct(id) => {
            let members = model.struct_(id).members.iter();
            members
                .map(|member| (member.name.clone(), value(model, member.ty, rng)))
                .collect()
        }
        Type::Sequence(id) => match model.sequence(id).element {
            Type::Byte => {
                let bytes = (0..rng.usize(..=MAX_LENGTH)).map(|_| format!("{:02x}", rng.u8(..)));
                json!({ "bytes": bytes.collect::<String>() })
            }
            element => (0..rng.usize(..=MAX_LENGTH))
                .map(|_| value(model, element, rng))
                .collect(),
        },
        Type::Dictionary(id) => {
            let dictionary = model.dictionary(id);
            let mut pairs: Vec<[Value; 2]> = Vec::new();
            for _ in 0..rng.usize(..=MAX_LENGTH) {
                let key = value(model, dictionary.key, rng);
                if pairs.iter().all(|[other, _]| *other != key) {
                    pairs.push([key, value(model, dictionary.value, rng)]);
                }
            }
            json!({ "map": pairs })
        }
    }
}

/// A number, or what JSON can't hold.
fn double(number: f64) -> Value {
    if number.is_nan() {
        json!({ "double": "NaN" })
    } else {
        json!(number)
    }
}

/// A string of any characters.
fn text(rng: &mut Rng) -> String {
    (0..rng.usize(..=MAX_LENGTH))
        .map(|_| rng.char(..))
        .collect()
}
