//! haproxy as a plain TCP proxy: one process of one thread, defaults.

use std::{net::SocketAddr, path::Path, process::Command};

use anyhow::Result;

use super::Setup;
use crate::program::write;

pub(super) fn setup(home: &Path, own: SocketAddr, server: &str) -> Result<Setup> {
    let config = home.join("haproxy.cfg");
    let text = format!(
        "global\n  nbthread 1\n\
         defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\n\
         listen echo\n  bind {own}\n  server echo {server}\n"
    );
    write(&config, &text)?;
    let mut command = Command::new("/usr/sbin/haproxy");
    command.args(["-db", "-f"]).arg(config);
    Ok(Setup::of_bytes(command, own))
}
