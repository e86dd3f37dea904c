//! Servers that mean no good: whatever they answer, there is a message and an
//! exit status, soon.

use tce_runtime::{
    Adapter, Communicator, ErrorCode, Fault, IncomingCall, Servant,
    wire::{Marshal, Writer},
};

use super::{call, folder};

/// A result that is just these bytes.
struct Raw(Vec<u8>);

impl Marshal for Raw {
    fn marshal(&self, out: &mut Writer<'_>) {
        out.put(&self.0);
    }
}

fn failed(text: String) -> Fault {
    Fault::new(ErrorCode::RemoteException, text)
}

/// Answers every call to interface 0 with the same.
struct Liar(std::sync::Arc<Result<Vec<u8>, String>>);

impl Servant for Liar {
    fn interfaces(&self) -> &[u16] {
        &[0]
    }

    fn dispatch(&self, call: IncomingCall<'_>) {
        call.run(&self.0, |answer, (), ctx| async move {
            let answer = answer.as_ref().clone();
            (ctx, answer.map(Raw).map_err(failed))
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

/// Calls every operation of a server that answers with `answer`, and gives all output.
async fn all_outputs(answer: Result<Vec<u8>, String>) -> Vec<super::Ran> {
    let adapter = Adapter::listen(&Communicator::new(), "tcp://127.0.0.1:0")
        .await
        .unwrap();
    adapter.add_servant(Liar(answer.into())).start();
    let endpoint = adapter.endpoint().to_string();
    let folder = folder(&[("m.idl", IDL)]);
    let file = folder.path().join("m.idl");
    let idl = ["--idl", file.to_str().unwrap()];
    ["bools", "nest", "named", "text", "real"]
        .map(|name| call(&endpoint, &[&[name][..], &idl].concat()))
        .into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_that_nothing_follows_takes_no_memory() {
    for count in [u32::MAX, 1 << 31, 1 << 24] {
        for ran in all_outputs(Ok(count.to_be_bytes().to_vec())).await {
            ran.exits(1).complains("does not decode");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_nests_deeply_is_refused() {
    // Each `Nest` holds one more.
    let deep: Vec<u8> = [0, 0, 0, 1].repeat(200_000);
    let mut ran = all_outputs(Ok(deep)).await;
    ran.remove(1).exits(1).complains("does not decode");
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_to_a_terminal_are_shown_and_not_passed_on() {
    let wicked = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}2J\r\nerror";
    for ran in all_outputs(Err(wicked.to_owned())).await {
        let ran = ran.exits(1).complains("\\u{1b}[2J");
        assert!(!ran.err.trim_end().contains(char::is_control), "{ran:?}");
    }
    let mut text = 5_u32.to_be_bytes().to_vec();
    text.extend(b"\x1b[2J\n");
    let ran = all_outputs(Ok(text)).await.remove(3).exits(0);
    assert_eq!(ran.out, "\"\\u001b[2J\\n\"\n");
}

/// Answers the built-in interface's `describe` with these texts.
async fn describing(texts: &[&str]) -> super::Ran {
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
async fn what_a_server_tells_of_itself_may_be_anything() {
    let deep = format!("module m {{ struct S {{ {} }}", "sequence<".repeat(100_000));
    for text in ["", "\u{1b}[2J", "module", "import passwd;", &deep] {
        let ran = describing(&[text]).await;
        assert!(matches!(ran.code, Some(0 | 1)), "{ran:?}");
        assert!(!ran.err.contains('\u{1b}'), "{ran:?}");
    }
    describing(&["what"])
        .await
        .exits(1)
        .complains("what the server tells of itself is no IDL: name the right one with --idl");
    // What one of them means does not depend on the others.
    describing(&["what", "module m { interface I { void f(); }; }"])
        .await
        .exits(0)
        .prints("m.I (0)\n  0  void f()\n");
}
