//! `remora demo`

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use anyhow::{Context, anyhow};

use crate::config;
use crate::demo;
use crate::server::{self, Start};

use super::exit::Exit;
use super::terminal;

/// Where the demo listens if it can; else a free port.
const USUAL: [&str; 2] = ["127.0.0.1:8080", "127.0.0.1:0"];

/// Starts the sample backends and an edge before them.
pub(super) fn run() -> anyhow::Result<Exit> {
    let samples = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let replicas = samples.block_on(demo::start()).context("cannot start the sample backends")?;
    let listen = free(USUAL).context("no port is free")?;
    let admin = free(["127.0.0.1:9901", "127.0.0.1:0"]).context("no port is free")?;
    let text = demo::site_file(listen, admin, replicas.page, &replicas.api);
    let loaded = config::load_text(Path::new("demo.yaml"), text, &|_| None).map_err(|report| anyhow!("{report}"))?;
    server::run(Start { config: loaded.config, source: None }, |addresses| greet(addresses, admin))?;
    Ok(Exit::Done)
}

/// The first address that can be bound, with its port.
fn free(addresses: [&str; 2]) -> Option<SocketAddr> {
    let bound = addresses.into_iter().find_map(|address| TcpListener::bind(address).ok())?;
    bound.local_addr().ok()
}

fn greet(addresses: &[SocketAddr], admin: SocketAddr) {
    let Some(address) = addresses.first() else { return };
    let text = format!(
        "\nRemora runs at http://{address}/ in front of a page and two API replicas. Open it, or try:\n\n  \
         curl http://{address}/api/hello                # repeat it: the replicas take turns\n  \
         curl -X POST http://{address}/api/sick         # makes the replica that responds fail for 10 seconds\n  \
         remora status --admin {admin}          # during this: which replicas are up, and why one is not\n\n\
         Ctrl-C stops it.\n"
    );
    // Nobody reads it: then nobody misses it.
    let _ = terminal::say(&text);
}
