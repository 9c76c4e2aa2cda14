//! One probe of one backend: a TCP connection, a database's greeting, or Pingora's HTTP check, under a deadline for the whole of it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use pingora::http::RequestHeader;
use pingora::prelude::{Error, ErrorType};
use pingora_load_balancing::Backend as Target;
use pingora_load_balancing::health_check::{HealthCheck as _, HttpHealthCheck};
use tokio::net::TcpStream;

use crate::config::model::{CheckKind, CheckSpec, Protocol, ServerSpec};

use super::connect::{failure_of, is_ours, not_connected, takes_connections};
use super::greeting;
use super::health::Failure;

/// A check made ready for one backend.
pub(super) struct Probe {
    kind: Kind,
}

enum Kind {
    /// Pingora's own costs a third more: it makes the connection ready for requests that never come.
    Tcp(SocketAddr),
    Greeting(SocketAddr, Protocol),
    Http(Box<HttpHealthCheck>, Target),
}

impl Probe {
    /// Builds the check of `spec` for a backend of `server`.
    ///
    /// # Errors
    /// When the address or the request cannot be written down; `config` allows neither.
    pub fn new(spec: &CheckSpec, server: &ServerSpec, address: SocketAddr) -> Result<Self, Box<Error>> {
        let kind = match &spec.kind {
            CheckKind::Tcp => Kind::Tcp(address),
            CheckKind::Greeting(protocol) => Kind::Greeting(address, *protocol),
            CheckKind::Http { path, host, expect } => {
                let own_host = || server.address.to_string();
                let host = host.clone().unwrap_or_else(own_host);
                let mut check = HttpHealthCheck::new(&host, false);
                check.req = RequestHeader::build("GET", path.as_bytes(), None)?;
                check.req.insert_header("Host", &host)?;
                check.req.insert_header("User-Agent", "remora-check")?;
                check.req.insert_header("Connection", "close")?;
                check.peer_template.options.connection_timeout = Some(spec.timeout);
                check.peer_template.options.read_timeout = Some(spec.timeout);
                let expect = expect.clone();
                check.validator = Some(Box::new(move |response| {
                    let status = response.status.as_u16();
                    if expect.contains(status) {
                        Ok(())
                    } else {
                        Error::e_explain(ErrorType::HTTPStatus(status), "check")
                    }
                }));
                Kind::Http(Box::new(check), Target::new(&address.to_string())?)
            }
        };
        Ok(Self { kind })
    }

    /// Asks once, within `deadline`; `None` where the edge itself could not ask, which says nothing about the backend.
    pub async fn ask(&self, deadline: Duration) -> Option<Result<(), Failure>> {
        let asked = async {
            let failed = match &self.kind {
                Kind::Tcp(address) => TcpStream::connect(address).await.err().map(|error| not_connected(&error)),
                Kind::Greeting(address, protocol) => greeting::ask(*address, *protocol).await.err(),
                Kind::Http(check, target) => check.check(target).await.err().map(|error| {
                    let io = error.root_cause().downcast_ref::<io::Error>();
                    (failure_of(&error), !io.is_some_and(is_ours))
                }),
            };
            match failed {
                None => Some(Ok(())),
                Some((failure, true)) => Some(Err(failure)),
                Some((_, false)) => None,
            }
        };
        if let Ok(result) = tokio::time::timeout(deadline, asked).await {
            return result;
        }
        let is_there = match &self.kind {
            Kind::Tcp(_) => false,
            Kind::Greeting(address, _) => takes_connections(*address).await,
            Kind::Http(_, target) => match target.addr.as_inet() {
                Some(address) => takes_connections(*address).await,
                None => true,
            },
        };
        Some(Err(if is_there { Failure::Timeout } else { Failure::ConnectTimeout }))
    }
}
