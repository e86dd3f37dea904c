//! Each operation, once.

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
