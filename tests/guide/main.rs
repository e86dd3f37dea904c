//! The Rust of the user guide and the README: each block compiles, and those with tests
//! run. The build script writes a module for each; here is what the pages presuppose.

#[cfg(test)]
#[allow(
    dead_code,
    unused_imports,
    unused_variables,
    unused_mut,
    unreachable_code,
    unreachable_pub,
    clippy::all,
    reason = "the code of the guide is for readers, and is not called"
)]
mod guide {
    use std::time::Duration;

    use tce_runtime::{
        Oneway, Pending, WorkerPool,
        config::{MqConfig, Options, TlsConfig, TokenProvider},
        prelude::*,
    };
    use tce_tests::test::*;

    /// The crate of the project by hand, whose library is the module of its IDL.
    mod hello {
        tce_runtime::include_idl!(hello);
    }

    tce_runtime::include_idl!(math);

    struct ServerImpl;
    use ServerImpl as Demo;

    impl BaseServer for ServerImpl {
        async fn datetime(&self, _ctx: &Context) -> Result<String, Fault> {
            Ok("now".to_owned())
        }
    }

    impl Server for ServerImpl {
        async fn echo(&self, text: String, _ctx: &Context) -> Result<String, Fault> {
            Ok(text)
        }

        async fn timeout(&self, _secs: i32, _ctx: &Context) -> Result<(), Fault> {
            Ok(())
        }

        async fn heartbeat(&self, _hello: String, _ctx: &Context) -> Result<(), Fault> {
            Ok(())
        }

        async fn bidirection(&self, ctx: &Context) -> Result<(), Fault> {
            let client = ITerminalPrx::to_caller(ctx);
            Ok(client.on_message_oneway("server push message!").await?)
        }
    }

    struct TerminalImpl;

    impl ITerminal for TerminalImpl {
        async fn on_message(&self, _message: String, _ctx: &Context) -> Result<(), Fault> {
            Ok(())
        }
    }

    async fn listening(communicator: &Communicator) -> Result<Adapter, RpcError> {
        Adapter::listen(communicator, "tcp://127.0.0.1:0").await
    }

    async fn fetch_token() -> Result<String, std::io::Error> {
        Ok(String::new())
    }

    fn keep_for_later() {}

    include!(concat!(env!("OUT_DIR"), "/guide.rs"));
}
