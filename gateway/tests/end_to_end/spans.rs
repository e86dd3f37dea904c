//! Spans of clients, gateways and servers, at a collector.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tce_gateway::Gateway;
use tce_otlp::{OtlpConfig, OtlpExporter};
use tce_runtime::{
    TypedProxy as _,
    config::Options,
    interceptor::{ClientInterceptors, ServerInterceptors, Spans},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::common::{
    house::{House, Server},
    plan::{Front, Plan},
    watching::{eventually, within},
};

/// A span as the collector has got it.
#[derive(Debug, Clone)]
struct Span {
    service: String,
    trace: String,
    id: String,
    parent: Option<String>,
    name: String,
    kind: u64,
    is_error: bool,
    attributes: BTreeMap<String, String>,
}

/// A collector of OTLP over HTTP, with JSON.
#[derive(Debug, Clone)]
struct Collector {
    port: u16,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let collector = Self {
            port: listener.local_addr().unwrap().port(),
            spans: Arc::default(),
        };
        let this = collector.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                this.collect(stream).await;
            }
        });
        collector
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn exporter(&self, service: &str) -> OtlpExporter {
        OtlpExporter::start(OtlpConfig::new(&self.url(), service).unwrap())
    }

    /// Takes one request.
    async fn collect(&self, mut stream: TcpStream) {
        let mut request = Vec::new();
        let (head, size) = loop {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            let text = String::from_utf8_lossy(&request);
            if let Some((head, _)) = text.split_once("\r\n\r\n") {
                let mut lines = head.lines().map(str::to_ascii_lowercase);
                let length =
                    lines.find_map(|it| Some(it.strip_prefix("content-length: ")?.to_owned()));
                break (head.to_owned(), length.unwrap().parse::<usize>().unwrap());
            }
        };
        assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("content-type: application/json"), "{head}");
        let begin = head.len() + 4;
        while request.len() < begin + size {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
        }
        let body: Value = serde_json::from_slice(&request[begin..]).unwrap();
        self.spans.lock().unwrap().extend(spans_of(&body));
        let answer =
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
        stream.write_all(answer).await.unwrap();
    }

    async fn spans(&self, count: usize) -> Vec<Span> {
        let spans = || self.spans.lock().unwrap().clone();
        eventually("the spans arrive", || spans().len() >= count).await;
        let spans = spans();
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans
    }
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value}"))
        .to_owned()
}

fn attributes(of: &Value) -> BTreeMap<String, String> {
    let pairs = of["attributes"].as_array().unwrap().iter();
    pairs
        .map(|pair| (text(&pair["key"]), text(&pair["value"]["stringValue"])))
        .collect()
}

fn spans_of(request: &Value) -> Vec<Span> {
    let mut spans = Vec::new();
    for resource in request["resourceSpans"].as_array().unwrap() {
        let service = attributes(&resource["resource"])["service.name"].clone();
        for scope in resource["scopeSpans"].as_array().unwrap() {
            for span in scope["spans"].as_array().unwrap() {
                let nanos = |key: &str| text(&span[key]).parse::<u64>().unwrap();
                assert!(nanos("startTimeUnixNano") <= nanos("endTimeUnixNano"));
                let (trace, id) = (text(&span["traceId"]), text(&span["spanId"]));
                assert_eq!((trace.len(), id.len()), (32, 16));
                spans.push(Span {
                    service: service.clone(),
                    trace,
                    id,
                    parent: span.get("parentSpanId").map(text),
                    name: text(&span["name"]),
                    kind: span["kind"].as_u64().unwrap(),
                    is_error: span["status"]["code"] == 2,
                    attributes: attributes(span),
                });
            }
        }
    }
    spans
}

/// A span by its service and name.
fn find<'a>(spans: &'a [Span], service: &str, name: &str) -> &'a Span {
    let mut found = spans
        .iter()
        .filter(|span| span.service == service && span.name == name);
    let span = found
        .next()
        .unwrap_or_else(|| panic!("no {service} {name} in {spans:#?}"));
    assert!(found.next().is_none(), "{spans:#?}");
    span
}

const SERVER: u64 = 2;
const CLIENT: u64 = 3;

/// A client, a gateway and a server that export their spans.
struct TracedHouse {
    house: House,
    collector: Collector,
    exporters: [OtlpExporter; 2],
}

fn traced(exporter: &OtlpExporter) -> Options {
    let spans = Spans::new().recorded_by(exporter.clone());
    Options {
        client_interceptors: ClientInterceptors::new().with(spans.clone()),
        server_interceptors: ServerInterceptors::new().with(spans),
        ..Options::default()
    }
}

impl TracedHouse {
    async fn start(plan: Plan) -> Self {
        let collector = Collector::start().await;
        let exporters = [collector.exporter("client"), collector.exporter("server")];
        let plan = plan
            .property("userid_check", "true")
            .property("auth", "token")
            .property("otlp_endpoint", &collector.url());
        let server = Server::start_with(&plan, "server0", 0, traced(&exporters[1])).await;
        let ports = [server.port()];
        let mut house = House::before(plan, &ports, |gateway: Gateway| gateway).await;
        house.servers.push(server);
        house.is_ready().await;
        Self {
            house,
            collector,
            exporters,
        }
    }

    /// Exports what has ended, and returns all spans.
    async fn end(self, count: usize) -> Vec<Span> {
        for exporter in &self.exporters {
            assert!(exporter.flush(Duration::from_secs(10)).await);
        }
        self.house.end().await;
        self.collector.spans(count).await
    }
}

#[tokio::test]
async fn a_call_a_push_and_a_refusal_are_traces_over_all_programs() {
    for plan in [Plan::direct, Plan::memory, Plan::rabbitmq] {
        let house = TracedHouse::start(plan()).await;
        let options = Options {
            token: Some("anna".to_owned()),
            ..traced(&house.exporters[0])
        };
        let mut client = house.house.client_with(Front::Socket, options).await;
        within(client.server.bidirection()).await.unwrap();
        assert!(
            client
                .next_push()
                .await
                .starts_with("server push message! in 00-")
        );
        let failed = within(client.server.echo("fail 4711 sold out")).await;
        failed.unwrap_err();

        // Client, gateway, server of each call; server, gateway, client of the push.
        let spans = house.end(3 + 3 + 3).await;
        let called = find(&spans, "client", "test::Server::bidirection");
        let served = find(&spans, "server", "test::Server::bidirection");
        let pushed = find(&spans, "server", "test::ITerminal::onMessage");
        let received = find(&spans, "client", "test::ITerminal::onMessage");
        let forwarded_push = find(&spans, "tce-gateway", "forward test.ITerminal");
        let of_trace = |span: &&Span| span.trace == called.trace;
        let forwarded = spans.iter().filter(of_trace);
        let mut forwarded = forwarded.filter(|span| span.name == "forward test.Server");
        let forwarded_call = forwarded.next().unwrap();
        assert_eq!(called.parent, None);
        for (inner, outer) in [
            (forwarded_call, called),
            (served, forwarded_call),
            (pushed, served),
            (forwarded_push, pushed),
            (received, forwarded_push),
        ] {
            assert_eq!(inner.trace, called.trace);
            assert_eq!(inner.parent.as_ref(), Some(&outer.id), "{spans:#?}");
        }
        assert_eq!(
            (called.kind, forwarded_call.kind, served.kind),
            (CLIENT, SERVER, SERVER)
        );
        assert_eq!(called.attributes["rpc.system.name"], "tce");
        assert_eq!(forwarded_call.attributes["tce.gateway"], "gw0");

        let failed = find(&spans, "client", "test::Server::echo");
        let errors = spans.iter().filter(|span| span.trace == failed.trace);
        let errors: Vec<_> = errors
            .map(|span| (span.is_error, &*span.attributes["error.type"]))
            .collect();
        assert_eq!(errors.len(), 3);
        assert!(errors.iter().all(|(is_error, _)| *is_error), "{errors:?}");
        assert!(errors.iter().all(|(_, code)| *code == "4711"), "{errors:?}");
    }
}

#[tokio::test]
async fn calls_are_forwarded_while_the_collector_is_away() {
    let plan = Plan::direct().property("otlp_endpoint", "http://127.0.0.1:1");
    let house = House::start(plan).await;
    let client = house.client(Front::Socket).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let traced = client.server.with_extra([("traceparent", trace)]);
    for _ in 0..100 {
        within(traced.echo("hello")).await.unwrap();
    }
    // Twoway, oneway and calls without a trace keep their other extra.
    let extra = within(traced.with_extra([("name", "scott")]).echo("extra"))
        .await
        .unwrap();
    assert!(extra.contains("name=scott"), "{extra}");
    assert!(
        extra.contains("traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-"),
        "{extra}"
    );
    assert!(
        !extra.contains("00f067aa0ba902b7"),
        "the gateway's span is the parent: {extra}"
    );
    assert_eq!(extra.matches("traceparent").count(), 1, "{extra}");
    let unsampled = trace.replace("-01", "-00");
    let server = client.server.with_extra([("traceparent", &unsampled)]);
    let extra = within(server.echo("extra")).await.unwrap();
    assert!(extra.contains(&unsampled), "{extra}");
    house.end().await;
}
