//! Each operation, once.

use tce_flow::page::AdminServer;

use super::common::{Fixture, text};

const DEFINITION: &str = "\
suite s
  edit USER_VARIABLE 'it''s'
  limit disk 2
  task t1
    event 1 half
    meter step 0 100
    label info ''
  task t2
    trigger t1 == complete
  task t3
    trigger t1:half and t1:step ge 20
endsuite
";

#[tokio::test]
async fn a_suite_runs_to_its_end() {
    let mut fixture = Fixture::new().await;
    fixture.begin(DEFINITION).await;
    let job = fixture.next_job().await;
    assert_eq!(job.path, "/s/t1");
    let jobs = fixture.jobs.clone();
    text(jobs.started(&job, &["ADDED=1".into()]).await.unwrap());
    assert_eq!(fixture.state("/s/t1").await, "active");
    text(jobs.set_event(&job, "half", true).await.unwrap());
    text(jobs.set_label(&job, "info", "hello").await.unwrap());
    let refused = jobs.set_meter(&job, "step", 500).await.unwrap();
    assert_eq!(refused.code, 13, "{}", refused.text);
    text(jobs.set_meter(&job, "step", 20).await.unwrap());
    let third = fixture.next_job().await;
    assert_eq!(third.path, "/s/t3");
    for (kind, path, value) in [
        ("event", "/s/t1:half", "set"),
        ("meter", "/s/t1:step", "20"),
        ("label", "/s/t1:info", "hello"),
        ("variable", "/s/t1:ADDED", "1"),
        ("variable", "/s/t1:ECF_TRYNO", "1"),
        ("dstate", "/s/t1", "active"),
        ("limit", "/s:disk", "0"),
        ("limit_max", "/s:disk", "2"),
    ] {
        let reply = fixture.query.query(kind, path, "").await.unwrap();
        assert_eq!(text(reply), value, "{kind} {path}");
    }
    text(jobs.completed(&job, &["ADDED".into()]).await.unwrap());
    let second = fixture.next_job().await;
    assert_eq!(second.path, "/s/t2");
    for job in [second, third] {
        text(jobs.started(&job, &[]).await.unwrap());
        text(jobs.completed(&job, &[]).await.unwrap());
    }
    assert_eq!(fixture.state("/s").await, "complete");
}

/// The answer to a GET.
async fn get(address: std::net::SocketAddr, path: &str, host: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn monitoring_sees_whether_jobs_start() {
    let fixture = Fixture::new().await;
    let admin = AdminServer::start("127.0.0.1:0", fixture.server.monitor()).await;
    let admin = admin.unwrap();
    let at = admin.address();
    text(
        fixture
            .control
            .load(DEFINITION, "def", false)
            .await
            .unwrap(),
    );
    for path in ["/healthz", "/readyz"] {
        let answer = get(at, path, "localhost").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let answer = get(at, "/metrics", "127.0.0.1:80").await;
    assert!(answer.contains("tce_flow_nodes 4\n"), "{answer}");
    assert!(answer.contains("load\"} 1\n"), "{answer}");
    text(fixture.control.state("halted").await.unwrap());
    let answer = get(at, "/readyz", "localhost").await;
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("HALTED"),
        "{answer}"
    );
    let answer = get(at, "/metrics", "rebound.example").await;
    assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
}
