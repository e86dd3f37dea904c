//! Hostile servers: every answer of theirs gives an error message and an exit status in time.

use tce_runtime::{
    Adapter, Communicator, ErrorCode, Fault, IncomingCall, Servant,
    wire::{Marshal, Writer},
};

use super::{call, folder};

/// A result of arbitrary bytes.
struct RawResult(Vec<u8>);

impl Marshal for RawResult {
    fn marshal(&self, out: &mut Writer<'_>) {
        out.put(&self.0);
    }
}

fn failed(text: String) -> Fault {
    Fault::new(ErrorCode::RemoteException, text)
}

/// Answers every call to interface 0 with the same bytes or error.
struct FixedAnswer(std::sync::Arc<Result<Vec<u8>, String>>);

impl Servant for FixedAnswer {
    fn interfaces(&self) -> &[u16] {
        &[0]
    }

    fn dispatch(&self, call: IncomingCall<'_>) {
        call.run(&self.0, |answer, (), ctx| async move {
            let answer = answer.as_ref().clone();
            (ctx, answer.map(RawResult).map_err(failed))
        });
    }
}

const IDL: &str = "
module m {
    sequence<bool> Bools;
    sequence<Nest> Nests;
    struct Nest { Nests inner; };
    dictionary<string, Nest> Named;
    interface I {
        Bools bools();
        Nest nest();
        Named named();
        string text();
        double real();
        void nothing();
    };
}
";

/// Output of calls of every operation at a server that answers with `answer`.
async fn all_outputs(answer: Result<Vec<u8>, String>) -> Vec<super::CommandOutput> {
    let adapter = Adapter::listen(&Communicator::new(), "tcp://127.0.0.1:0")
        .await
        .unwrap();
    adapter.add_servant(FixedAnswer(answer.into())).start();
    let endpoint = adapter.endpoint().to_string();
    let folder = folder(&[("m.idl", IDL)]);
    let file = folder.path().join("m.idl");
    let idl = ["--idl", file.to_str().unwrap()];
    ["bools", "nest", "named", "text", "real"]
        .map(|name| call(&endpoint, &[&[name][..], &idl].concat()))
        .into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_without_elements_takes_no_memory() {
    for count in [u32::MAX, 1 << 31, 1 << 24] {
        for ran in all_outputs(Ok(count.to_be_bytes().to_vec())).await {
            ran.exits(1).complains("can't decode the result");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deeply_nested_result_is_refused() {
    // Each `Nest` contains one more.
    let deep: Vec<u8> = [0, 0, 0, 1].repeat(200_000);
    let mut ran = all_outputs(Ok(deep)).await;
    ran.remove(1).exits(1).complains("can't decode the result");
}

#[tokio::test(flavor = "multi_thread")]
async fn control_sequences_are_escaped() {
    let sequence = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}2J\r\nerror";
    for ran in all_outputs(Err(sequence.to_owned())).await {
        let ran = ran.exits(1).complains("\\u{1b}[2J");
        assert!(!ran.err.trim_end().contains(char::is_control), "{ran:?}");
    }
    let mut text = 5_u32.to_be_bytes().to_vec();
    text.extend(b"\x1b[2J\n");
    let ran = all_outputs(Ok(text)).await.remove(3).exits(0);
    assert_eq!(ran.out, "\"\\u001b[2J\\n\"\n");
}

/// Output of listing a server whose built-in `describe` returns these texts.
async fn describing(texts: &[&str]) -> super::CommandOutput {
    struct Describer(std::sync::Arc<Vec<String>>);
    impl Servant for Describer {
        fn interfaces(&self) -> &[u16] {
            &[tce_runtime::BUILTIN_INTERFACE]
        }
        fn dispatch(&self, call: IncomingCall<'_>) {
            call.run(&self.0, |texts, (), ctx| async move {
                (ctx, Ok(texts.to_vec()))
            });
        }
    }
    let texts = texts.iter().map(|&text| text.to_owned()).collect();
    let adapter = Adapter::listen(&Communicator::new(), "tcp://127.0.0.1:0")
        .await
        .unwrap();
    adapter
        .add_servant(Describer(std::sync::Arc::new(texts)))
        .start();
    call(&adapter.endpoint().to_string(), &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn any_description_of_a_server_is_handled() {
    let deep = format!("module m {{ struct S {{ {} }}", "sequence<".repeat(100_000));
    for text in ["", "\u{1b}[2J", "module", "import passwd;", &deep] {
        let ran = describing(&[text]).await;
        assert!(matches!(ran.code, Some(0 | 1)), "{ran:?}");
        assert!(!ran.err.contains('\u{1b}'), "{ran:?}");
    }
    describing(&["what"]).await.exits(1).complains(
        "the server describes its interfaces by invalid IDL: name its IDL file with --idl",
    );
    // An invalid text does not affect the others.
    describing(&["what", "module m { interface I { void f(); }; }"])
        .await
        .exits(0)
        .prints("m.I (0)\n  0  void f()\n");
}
