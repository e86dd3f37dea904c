//! What an agent hosts: the frame's file, and the `setting.yaml` of each package.

mod fields;

mod package;

mod frame;

pub use frame::{AgentSettings, FrameConfig, PackageEntry, Rejection, Rights};
pub use package::{
    CrontabSettings, JobSettings, Kind, Overlap, PackageSettings, Program, Purpose, ServiceSettings,
};

/// The most bytes of the names of namespaces, services and crontabs.
const MAX_NAME: usize = 64;

/// Whether a text can be the name of a namespace or a crontab: 1 to 64 of letters, digits, `_`, `.`
/// and `-`. It goes into names of queues and into file names, so `.` and `..` are none.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    !text.is_empty()
        && text.len() <= MAX_NAME
        && text.bytes().all(is_allowed)
        && text != "."
        && text != ".."
}

/// Whether a text can be the base name of a service: a name without `.` and `__`, which ends it in
/// `base__function`.
#[must_use]
pub fn is_base(text: &str) -> bool {
    is_name(text) && !text.contains('.') && !text.contains("__")
}
