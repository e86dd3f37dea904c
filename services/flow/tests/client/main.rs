//! The clients against one server, whose jobs the tests play. The texts are those of ecFlow 5.9.2
//! and of Takler's client, seen running, where no comment says otherwise.

#![expect(clippy::unwrap_used, reason = "a test that can not go on fails")]

mod common;
mod takler;
mod ecflow;
mod jobs;
mod takler_json;
