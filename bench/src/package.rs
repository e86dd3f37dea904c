//! Debian packages that peers outside this program need.

use std::path::Path;

use anyhow::{Result, ensure};

/// A package, and a file that exists if it is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DebianPackage {
    name: &'static str,
    file: &'static str,
}

impl DebianPackage {
    const fn new(name: &'static str, file: &'static str) -> Self {
        Self { name, file }
    }
}

pub(crate) const VALGRIND: [DebianPackage; 1] =
    [DebianPackage::new("valgrind", "/usr/bin/valgrind")];
pub(crate) const RABBITMQ: [DebianPackage; 1] = [DebianPackage::new(
    "rabbitmq-server",
    "/usr/lib/rabbitmq/bin/rabbitmq-server",
)];
pub(crate) const NGINX: [DebianPackage; 2] = [
    DebianPackage::new("nginx-light", "/usr/sbin/nginx"),
    DebianPackage::new(
        "libnginx-mod-stream",
        "/usr/lib/nginx/modules/ngx_stream_module.so",
    ),
];
pub(crate) const HAPROXY: [DebianPackage; 1] = [DebianPackage::new("haproxy", "/usr/sbin/haproxy")];
pub(crate) const NATS: [DebianPackage; 1] =
    [DebianPackage::new("nats-server", "/usr/sbin/nats-server")];
pub(crate) const ICE: [DebianPackage; 2] = [
    DebianPackage::new("zeroc-ice-all-dev", "/usr/include/Glacier2/Glacier2.h"),
    DebianPackage::new("g++", "/usr/bin/g++"),
];
pub(crate) const GLACIER2: [DebianPackage; 1] = [DebianPackage::new(
    "zeroc-glacier2",
    "/usr/bin/glacier2router",
)];

/// Checks that all `packages` are installed.
///
/// # Errors
/// Lists all missing packages.
pub(crate) fn ensure_installed(
    packages: impl IntoIterator<Item = &'static DebianPackage>,
) -> Result<()> {
    let missing = missing(packages, |file| Path::new(file).exists());
    ensure!(
        missing.is_empty(),
        "chosen peers need packages that are not installed: run `apt-get install {}`, or choose \
         other peers with --peers",
        missing.join(" ")
    );
    Ok(())
}

fn missing(
    packages: impl IntoIterator<Item = &'static DebianPackage>,
    exists: impl Fn(&str) -> bool,
) -> Vec<&'static str> {
    let mut missing = Vec::new();
    for package in packages {
        if !exists(package.file) && !missing.contains(&package.name) {
            missing.push(package.name);
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_package_is_listed_once() {
        let needed = [NGINX.as_slice(), &HAPROXY, &NGINX].concat().leak();
        let missing = missing(needed.iter(), |file| file == "/usr/sbin/nginx");
        assert_eq!(missing, ["libnginx-mod-stream", "haproxy"]);
    }
}
