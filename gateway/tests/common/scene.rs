//! A gateway in a process of its own, and its server in this one.

use std::path::PathBuf;

use tce_runtime::config::Options;
use tempfile::TempDir;

use super::{client::Client, house::Server, plan::Plan, process::GatewayProcess, watching::within};

pub(crate) struct Scene {
    pub(crate) gateway: GatewayProcess,
    pub(crate) server: Server,
    pub(crate) file: PathBuf,
    pub(crate) folder: TempDir,
}

impl Scene {
    pub(crate) async fn start(plan: Plan, arguments: &[&str]) -> Self {
        Self::start_with(plan, arguments, |text| text).await
    }

    /// The same, with another services.xml.
    pub(crate) async fn start_with(
        plan: Plan,
        arguments: &[&str],
        edit: impl Fn(String) -> String,
    ) -> Self {
        let server = Server::start(&plan, "server0").await;
        let folder = tempfile::tempdir().expect("a folder");
        let file = plan.write(folder.path(), &[server.port()]);
        let text = std::fs::read_to_string(&file).expect("it was written");
        std::fs::write(&file, edit(text)).expect("the folder is writable");
        let addresses = 4 * plan.gateways;
        Self {
            gateway: GatewayProcess::start(&file, arguments, addresses).await,
            server,
            file,
            folder,
        }
    }

    /// A client at one of the addresses, once the server is connected.
    pub(crate) async fn client(&self, address: usize) -> Client {
        let address = self.gateway.addresses()[address].to_string();
        let client = Client::connect(&address, self.folder.path(), Options::default()).await;
        let client = client.expect("the gateway listens");
        within(async { while client.server.echo("hello").await.is_err() {} }).await;
        client
    }

    pub(crate) fn change(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(&self.file).expect("it is there");
        let changed = text.replace(from, to);
        assert_ne!(text, changed, "{from}");
        std::fs::write(&self.file, changed).expect("the folder is writable");
    }
}
