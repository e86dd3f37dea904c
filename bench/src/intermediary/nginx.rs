//! nginx as a plain TCP proxy: one process, defaults.

use std::{net::SocketAddr, path::Path, process::Command};

use anyhow::Result;

use super::Setup;
use crate::program::write;

pub(super) fn setup(home: &Path, own: SocketAddr, server: &str) -> Result<Setup> {
    let config = home.join("nginx.conf");
    let text = format!(
        "daemon off;\n\
         master_process off;\n\
         pid {home}/pid;\n\
         load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n\
         events {{ worker_connections 1024; }}\n\
         stream {{ server {{ listen {own}; proxy_pass {server}; }} }}\n",
        home = home.display()
    );
    write(&config, &text)?;
    let mut command = Command::new("/usr/sbin/nginx");
    command.args(["-e", "stderr", "-c"]).arg(config);
    Ok(Setup::of_bytes(command, own))
}
