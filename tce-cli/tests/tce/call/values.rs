//! Values of every type of `zoo.idl`: from JSON over the wire to generated code, and back to JSON.

use std::fmt::Write;

use proptest::{
    collection,
    num::{f32, f64},
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use tce_idl::model::{Model, Type};

use super::{call, call_with, idl};
use crate::servers;

/// Number of values of each type.
const COUNT: usize = 64;

fn zoo() -> Model {
    let options = tce_idl::Options::new();
    tce_idl::compile(&[idl("zoo.idl")], &options).model.unwrap()
}

fn float(number: f64) -> Value {
    match number {
        finite if finite.is_finite() => json!(finite),
        nan if nan.is_nan() => json!("NaN"),
        positive if positive > 0.0 => json!("Infinity"),
        _ => json!("-Infinity"),
    }
}

/// JSON as `tce call` writes it.
fn values(model: &Model, ty: Type) -> BoxedStrategy<Value> {
    match ty {
        Type::Byte => any::<u8>().prop_map(Value::from).boxed(),
        Type::Bool => any::<bool>().prop_map(Value::from).boxed(),
        Type::Short => any::<i16>().prop_map(Value::from).boxed(),
        Type::Int => any::<i32>().prop_map(Value::from).boxed(),
        Type::Long => any::<i64>().prop_map(Value::from).boxed(),
        Type::Float => f32::ANY
            .prop_map(|it| float(it.to_string().parse().unwrap()))
            .boxed(),
        Type::Double => f64::ANY.prop_map(float).boxed(),
        Type::String => ".{0,12}".prop_map(Value::from).boxed(),
        Type::Sequence(id) => match model.sequence(id).element {
            Type::Byte => base64().boxed(),
            element => collection::vec(values(model, element), 0..4)
                .prop_map(Value::from)
                .boxed(),
        },
        Type::Dictionary(id) => {
            let it = model.dictionary(id);
            let keys = values(model, it.key).prop_map(|key| match key {
                Value::String(text) => text,
                key => key.to_string(),
            });
            collection::btree_map(keys, values(model, it.value), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect()))
                .boxed()
        }
        Type::Enum(id) => {
            let members = model.enum_(id).members.iter();
            let names: Vec<_> = members.map(|it| Value::from(it.name.clone())).collect();
            proptest::sample::select(names).boxed()
        }
        Type::Struct(id) => {
            let members = model.struct_(id).members.iter();
            let members = members.map(|it| (Just(it.name.clone()), values(model, it.ty)));
            let members: Vec<_> = members.collect();
            members
                .prop_map(|members| Value::Object(members.into_iter().collect()))
                .boxed()
        }
    }
}

/// Any groups of four of these letters are valid base64.
fn base64() -> impl Strategy<Value = Value> {
    "([A-Za-z0-9+/]{4}){0,8}".prop_map(Value::from)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_is_returned_unchanged() {
    let (_adapter, endpoint) = servers::zoo().await;
    let model = zoo();
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    );
    let operations = &model.interfaces[0].operations;
    let with_result = operations.iter().filter(|it| it.returns.is_some());
    for operation in with_result {
        let strategy = values(&model, operation.parameters[0].ty);
        let sent = (0..COUNT).map(|_| strategy.new_tree(&mut runner).unwrap().current());
        let sent: Vec<Value> = sent.collect();
        let mut lines = String::new();
        for value in &sent {
            // As an object by parameter name: a value alone could be taken for a list of all arguments.
            writeln!(lines, "{}", json!({ &operation.parameters[0].name: value })).unwrap();
        }
        let ran = call_with(&endpoint, &[&operation.name, "-d", "@-"], lines.as_bytes()).exits(0);
        let came = ran
            .out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        for (came, sent) in came.zip(&sent).collect::<Vec<(Value, _)>>() {
            // Compared as JSON, since a dictionary has no order.
            assert!(came == *sent, "{}: {came}\nis not\n{sent}", operation.name);
        }
        assert_eq!(ran.out.lines().count(), COUNT, "{}", operation.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_has_several_forms() {
    let (_adapter, endpoint) = servers::zoo().await;
    for (operation, argument, result) in [
        ("big", "-9223372036854775808", "-9223372036854775808"),
        ("big", "\"9223372036854775807\"", "9223372036854775807"),
        ("blob", "[104, 105]", "\"aGk=\""),
        ("blob", "aGk=", "\"aGk=\""),
        ("blob", "", "\"\""),
        ("table", "[]", "[]"),
        ("table", "[[]]", "[[]]"),
        ("table", "[[1, 2], []]", "[[1,2],[]]"),
        ("table", "{\"t\": [[1]]}", "[[1]]"),
        ("table", "[[1]]", "[[1]]"),
        ("table", "[[[1]]]", "[[1]]"),
        ("counts", "{\"c\": 1}", "{\"c\":1}"),
        ("counts", "{\"c\": {\"a\": 1}}", "{\"a\":1}"),
        ("real", "-2.448552680100861e157", "-2.448552680100861e+157"),
        ("names", "{\"-1\": \"a\"}", "{\"-1\":\"a\"}"),
        ("real", "1e3", "1000.0"),
        ("real", "NaN", "\"NaN\""),
        ("truth", "true", "true"),
    ] {
        let ran = call(&endpoint, &[operation, argument]).exits(0);
        assert_eq!(ran.out.trim_end(), result, "{operation} {argument}");
    }
    let many = ["many", "255", "true", "-1", "2", "3", "1.5", "-2.5", "text"];
    call(&endpoint, &many)
        .exits(1)
        .complains("(255, true, -1, 2, 3, 1.5, -2.5, \"text\")");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_value_is_reported_with_its_path() {
    let (_adapter, endpoint) = servers::zoo().await;
    let pet = json!({
        "name": "a", "b": 0, "flag": true, "s": 0, "i": 0, "l": 0,
        "flt": 0, "dbl": 0, "tags": [], "blob": "",
    });
    let family =
        |pet: Value| json!([{ "name": "", "pets": [pet], "named": {}, "chief": {} }]).to_string();
    let with = |name: &str, value: Value| {
        let mut pet = pet.clone();
        pet[name] = value;
        family(pet)
    };
    let mut without = pet.clone();
    without.as_object_mut().unwrap().remove("flag");
    for (operation, argument, complaint) in [
        (
            "roundtrip",
            with("b", json!(256)),
            "fam.pets[0].b: expected a byte (0 to 255), got 256",
        ),
        (
            "roundtrip",
            with("s", json!("x")),
            "fam.pets[0].s: expected a short (-32768 to 32767), got \"x\"",
        ),
        (
            "roundtrip",
            with("flt", json!(1e300)),
            "fam.pets[0].flt: expected a float (a number up to 3.4e38",
        ),
        (
            "roundtrip",
            with("blob", json!("?")),
            "fam.pets[0].blob: expected bytes (base64 in double quotes",
        ),
        (
            "roundtrip",
            with("tag", json!(1)),
            "there is no member `tag`: did you mean `tags`?",
        ),
        (
            "roundtrip",
            family(without),
            "fam.pets[0]: the member `flag` is missing",
        ),
        (
            "table",
            "[[1, [2]]]".to_owned(),
            "t[0]: expected a IntList (an array), got 1",
        ),
        (
            "counts",
            "{\"a\": 1.5}".to_owned(),
            "c[\"a\"]: expected an int (32 bits), got 1.5",
        ),
        (
            "names",
            "{\"a\": \"b\"}".to_owned(),
            "c: the key \"a\": expected an int (32 bits), got \"a\"",
        ),
        (
            "truth",
            "1".to_owned(),
            "v: expected a bool (true or false), got 1",
        ),
    ] {
        call(&endpoint, &[operation, &argument])
            .exits(2)
            .complains(complaint);
    }
}
