//! The file of an embedded queue.

use tce_tasks::{Tasks, TasksConfig};

#[tokio::test]
async fn a_second_opening_of_the_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tasks.redb");
    let _tasks = Tasks::open(TasksConfig::embedded(&file)).await.unwrap();
    let error = Tasks::open(TasksConfig::embedded(&file)).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("tasks.redb is open in another process"),
        "{text}"
    );
}
