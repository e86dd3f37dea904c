//! Both sides, and the calls between them.

use std::time::Duration;

use tce_runtime::{Adapter, Communicator, Connection, Context, Fault, Proxy, codegen::Operation};
use tce_tests::{
    test::{
        BaseServer, BaseServerPrx, ITerminal, ITerminalPrx, ITerminalServant, Server, ServerPrx,
        ServerServant,
    },
    zoo::{
        Bytes, Family, IntStr, IntTable, Keeper, KeeperManyParams, KeeperPrx, KeeperServant, Pet,
        StrInt,
    },
};
use tokio::sync::mpsc;

struct ServerImpl(mpsc::Sender<String>);

impl BaseServer for ServerImpl {
    async fn datetime(&self, _: &Context) -> Result<String, Fault> {
        Ok("now".to_owned())
    }
}

impl Server for ServerImpl {
    async fn echo(&self, text: String, _: &Context) -> Result<String, Fault> {
        Ok(text)
    }

    async fn timeout(&self, secs: i32, _: &Context) -> Result<(), Fault> {
        tokio::time::sleep(Duration::from_secs(secs.unsigned_abs().into())).await;
        Ok(())
    }

    async fn heartbeat(&self, hello: String, _: &Context) -> Result<(), Fault> {
        Ok(self.0.send(hello).await?)
    }

    async fn bidirection(&self, ctx: &Context) -> Result<(), Fault> {
        let terminal = ITerminalPrx::to_caller(ctx);
        Ok(terminal.on_message_oneway("server push message!").await?)
    }
}

struct KeeperImpl;

impl Keeper for KeeperImpl {
    async fn roundtrip(&self, fam: Family, _: &Context) -> Result<Family, Fault> {
        Ok(fam)
    }

    async fn table(&self, t: IntTable, _: &Context) -> Result<IntTable, Fault> {
        Ok(t)
    }

    async fn blob(&self, data: Bytes, _: &Context) -> Result<Bytes, Fault> {
        Ok(data)
    }

    async fn counts(&self, c: StrInt, _: &Context) -> Result<StrInt, Fault> {
        Ok(c)
    }

    async fn names(&self, c: IntStr, _: &Context) -> Result<IntStr, Fault> {
        Ok(c)
    }

    async fn many(&self, params: KeeperManyParams, _: &Context) -> Result<(), Fault> {
        let expected = many();
        if params == expected {
            return Ok(());
        }
        Err(Fault::new(format!("{params:?} came")))
    }

    async fn big(&self, v: i64, _: &Context) -> Result<i64, Fault> {
        Ok(v)
    }

    async fn real(&self, v: f64, _: &Context) -> Result<f64, Fault> {
        Ok(v)
    }

    async fn truth(&self, v: bool, _: &Context) -> Result<bool, Fault> {
        Ok(v)
    }
}

fn many() -> KeeperManyParams {
    KeeperManyParams {
        b: 255,
        flag: true,
        s: i16::MIN,
        i: i32::MAX,
        l: i64::MIN,
        flt: 3.25,
        dbl: 1e300,
        text: "héllo".to_owned(),
    }
}

struct Terminal(mpsc::Sender<String>);

impl ITerminal for Terminal {
    async fn on_message(&self, message: String, _: &Context) -> Result<(), Fault> {
        Ok(self.0.send(message).await?)
    }
}

/// A keeper; it has the interface index of the server's base, and so an
/// adapter of its own.
async fn keeper() -> KeeperPrx {
    let communicator = Communicator::new();
    let adapter = Adapter::listen(&communicator, "tcp://127.0.0.1:0")
        .await
        .unwrap();
    adapter.add_servant(KeeperServant::new(KeeperImpl)).start();
    let endpoint = adapter.endpoint().to_string();
    KeeperPrx::connect(&communicator, &endpoint).await.unwrap()
}

/// A server, a connection to it, and what its heartbeat hears.
async fn connected() -> (Connection, mpsc::Receiver<String>) {
    let communicator = Communicator::new();
    let adapter = Adapter::listen(&communicator, "tcp://127.0.0.1:0")
        .await
        .unwrap();
    let (say, heard) = mpsc::channel(10);
    adapter
        .add_servant(ServerServant::new(ServerImpl(say)))
        .start();
    let endpoint = adapter.endpoint().to_string();
    let connection = Communicator::new().connect(&endpoint).await.unwrap();
    (connection, heard)
}

fn pet(name: &str) -> Pet {
    Pet {
        name: name.to_owned(),
        b: 127,
        flag: true,
        s: -2,
        i: -123_456,
        l: -1_234_567_890_123,
        flt: 1.5,
        dbl: -2.25,
        tags: vec!["cute".to_owned(), "小猫".to_owned()],
        blob: vec![0, 1, 255],
    }
}

#[tokio::test]
async fn every_type_goes_there_and_back() {
    let keeper = keeper().await;
    let family = Family {
        name: "Zhang".to_owned(),
        pets: vec![pet("A"), pet("B"), Pet::default()],
        named: [("k1".to_owned(), pet("C"))].into(),
        chief: pet("Tom"),
    };
    assert_eq!(keeper.roundtrip(&family).await.unwrap(), family);
    let table = vec![vec![1, -2, 3], vec![], vec![i32::MIN, i32::MAX]];
    assert_eq!(keeper.table(&table).await.unwrap(), table);
    assert_eq!(keeper.blob(&[1, 2, 254]).await.unwrap(), [1, 2, 254]);
    let counts = StrInt::from([("one".to_owned(), 1), (String::new(), -1)]);
    assert_eq!(keeper.counts(&counts).await.unwrap(), counts);
    let names = IntStr::from([(-7, "seven".to_owned())]);
    assert_eq!(keeper.names(&names).await.unwrap(), names);
    keeper.many(&many()).await.unwrap();
    assert_eq!(keeper.big(i64::MIN).await.unwrap(), i64::MIN);
    assert!(keeper.real(f64::NAN).await.unwrap().is_nan());
    assert!(!keeper.truth(false).await.unwrap());
}

#[tokio::test]
async fn an_inherited_operation_answers_to_its_bases_proxy_too() {
    let (connection, _heard) = connected().await;
    assert_eq!(ServerPrx::new(&connection).datetime().await.unwrap(), "now");
    let base = BaseServerPrx::new(&connection);
    assert_eq!(base.datetime().await.unwrap(), "now");
}

#[tokio::test]
async fn an_inherited_operation_is_not_the_derived_interfaces_own() {
    static WRONG: Operation = Operation::new("test::Server::datetime", 2, 4);
    let (connection, _heard) = connected().await;
    let call = Proxy::new(&connection).call::<_, String>(&WRONG, ());
    let error = call.await.unwrap_err();
    assert_eq!(error.code(), tce_runtime::ErrorCode::InterfaceNotFound);
}

#[tokio::test]
async fn oneway_calls_arrive_and_the_server_pushes_back() {
    let (connection, mut heard) = connected().await;
    let server = ServerPrx::new(&connection);
    server.heartbeat_oneway("hello world!").await.unwrap();
    assert_eq!(heard.recv().await.unwrap(), "hello world!");

    let (say, mut pushed) = mpsc::channel(10);
    connection.add_servant(ITerminalServant::new(Terminal(say)));
    server.bidirection().await.unwrap();
    assert_eq!(pushed.recv().await.unwrap(), "server push message!");
}

#[tokio::test]
async fn a_result_is_awaited_later_or_handed_to_a_callback() {
    let (connection, _heard) = connected().await;
    let server = ServerPrx::new(&connection);
    let later = server.echo_async("later");
    let (say, mut heard) = mpsc::channel(1);
    server
        .echo_async("pingpang")
        .on_return(move |result| say.try_send(result.unwrap()).unwrap());
    assert_eq!(heard.recv().await.unwrap(), "pingpang");
    assert_eq!(later.await.unwrap(), "later");
}

#[tokio::test]
async fn a_proxy_waits_as_long_as_it_was_told() {
    let (connection, _heard) = connected().await;
    let hasty = ServerPrx::new(&connection).with_timeout(Duration::from_millis(50));
    let error = hasty.timeout(10).await.unwrap_err();
    assert_eq!(error.code(), tce_runtime::ErrorCode::Timeout);
    assert_eq!(error.operation(), Some("test::Server::timeout"));
}
