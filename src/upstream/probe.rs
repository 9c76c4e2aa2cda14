//! One probe of one backend: a TCP connection, a database's greeting, or a page, under a deadline for the whole of it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::config::model::{CheckKind, CheckSpec, Protocol, ServerSpec};

use super::connect::{not_connected, takes_connections};
use super::failure::Failure;
use super::greeting;
use super::page::PageCheck;
use super::probe_result::ProbeResult;

/// A check made ready for one backend.
pub(super) struct Probe {
    /// Where it asks: the backend, on the check's own port where it has one.
    address: SocketAddr,
    kind: Kind,
}

enum Kind {
    Tcp,
    Greeting(Protocol),
    Page(PageCheck),
}

impl Probe {
    /// Builds the check of `spec` for a backend of `server`.
    pub fn new(spec: &CheckSpec, server: &ServerSpec, mut address: SocketAddr) -> Self {
        if let Some(port) = spec.port {
            address.set_port(port);
        }
        let kind = match &spec.kind {
            CheckKind::Tcp => Kind::Tcp,
            CheckKind::Greeting(protocol) => Kind::Greeting(*protocol),
            CheckKind::Http(page) => Kind::Page(PageCheck::new(page, &own_host(spec, server))),
        };
        Self { address, kind }
    }

    /// Asks once, within `deadline`; `None` where the edge itself could not ask, which says nothing about the backend.
    pub async fn ask(&self, deadline: Duration) -> Option<ProbeResult> {
        let asked = async {
            match &self.kind {
                Kind::Tcp => match TcpStream::connect(self.address).await.map_err(|error| not_connected(&error)) {
                    Ok(_) => Some(Ok(None)),
                    Err((failure, is_to_blame)) => is_to_blame.then(|| Err(failure.into())),
                },
                Kind::Greeting(protocol) => greeting::ask(self.address, *protocol).await,
                Kind::Page(page) => page.ask(self.address).await,
            }
        };
        if let Ok(result) = tokio::time::timeout(deadline, asked).await {
            return result;
        }
        let is_there = match &self.kind {
            Kind::Tcp => false,
            Kind::Greeting(_) | Kind::Page(_) => takes_connections(self.address).await,
        };
        Some(Err(if is_there { Failure::Timeout } else { Failure::ConnectTimeout }.into()))
    }
}

/// The server as the file names it, with the port that is asked.
fn own_host(spec: &CheckSpec, server: &ServerSpec) -> String {
    let named = server.address.to_string();
    match (spec.port, named.rsplit_once(':')) {
        (Some(port), Some((host, _))) => format!("{host}:{port}"),
        _ => named,
    }
}
