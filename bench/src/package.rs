//! What has to be installed for the peers that are no part of this program.

use std::path::Path;

use anyhow::{Result, ensure};

/// A package of Debian's, and a file that is there once it is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Package {
    name: &'static str,
    file: &'static str,
}

impl Package {
    const fn new(name: &'static str, file: &'static str) -> Self {
        Self { name, file }
    }
}

pub(crate) const RABBITMQ: [Package; 1] = [Package::new(
    "rabbitmq-server",
    "/usr/lib/rabbitmq/bin/rabbitmq-server",
)];
pub(crate) const NGINX: [Package; 2] = [
    Package::new("nginx-light", "/usr/sbin/nginx"),
    Package::new(
        "libnginx-mod-stream",
        "/usr/lib/nginx/modules/ngx_stream_module.so",
    ),
];
pub(crate) const HAPROXY: [Package; 1] = [Package::new("haproxy", "/usr/sbin/haproxy")];
pub(crate) const ICE: [Package; 2] = [
    Package::new("zeroc-ice-all-dev", "/usr/include/Glacier2/Glacier2.h"),
    Package::new("g++", "/usr/bin/g++"),
];
pub(crate) const GLACIER2: [Package; 1] =
    [Package::new("zeroc-glacier2", "/usr/bin/glacier2router")];

/// # Errors
/// Names all packages that are missing.
pub(crate) fn ensure_installed(packages: impl IntoIterator<Item = &'static Package>) -> Result<()> {
    let missing = missing(packages, |file| Path::new(file).exists());
    ensure!(
        missing.is_empty(),
        "some chosen peers need what is not installed: `apt-get install {}`, or choose others \
         with --peers",
        missing.join(" ")
    );
    Ok(())
}

fn missing(
    packages: impl IntoIterator<Item = &'static Package>,
    is_there: impl Fn(&str) -> bool,
) -> Vec<&'static str> {
    let mut missing = Vec::new();
    for package in packages {
        if !is_there(package.file) && !missing.contains(&package.name) {
            missing.push(package.name);
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_package_is_told_once() {
        let needed = [NGINX.as_slice(), &HAPROXY, &NGINX].concat().leak();
        let missing = missing(needed.iter(), |file| file == "/usr/sbin/nginx");
        assert_eq!(missing, ["libnginx-mod-stream", "haproxy"]);
    }
}
