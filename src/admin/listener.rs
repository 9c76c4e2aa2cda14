//! The admin socket: bound early so that a failure is an immediate one, then served within fixed bounds.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::telemetry::Limiter;

use super::guard::Access;
use super::routes;
use super::source::AdminSource;

/// Connections at a time; more are closed at once.
const CONNECTIONS_MOST: usize = 32;
/// A request's head must arrive within this time.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// Largest head, in bytes.
const HEAD_BYTES_MOST: usize = 16 * 1024;
/// One connection lives at most this long: a rolling reload of many replicas takes its time.
const CONNECTION_WITHIN: Duration = Duration::from_secs(30 * 60);

/// Why there is no admin listener.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address cannot be bound.
    #[error("cannot bind the {key} address {address}: {cause}; change `{key}:` or stop the process that listens there")]
    Bind {
        /// The key of the file that names the address.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
}

/// A bound socket that nobody serves yet.
#[derive(Debug)]
pub struct AdminListener(TcpListener, Access);

impl AdminListener {
    /// The address bound, with the real port where 0 was asked for.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Binds an address. Needs no runtime.
///
/// # Errors
/// When the address is taken or not ours.
pub fn bind(address: SocketAddr, access: Access) -> Result<AdminListener, AdminError> {
    let failed = |cause| AdminError::Bind { key: access.key(), address, cause };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(AdminListener(listener, access))
}

/// Serves until dropped; then open connections are closed too.
pub async fn serve(listener: AdminListener, source: Arc<dyn AdminSource>) {
    let AdminListener(listener, access) = listener;
    let key = access.key();
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            log::error!("cannot serve the {key} address: {error}");
            return;
        }
    };
    let (mut connections, closed) = (JoinSet::new(), Limiter::default());
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < CONNECTIONS_MOST => {
                    connections.spawn(converse(stream, access, Arc::clone(&source)));
                }
                Ok(_) => {
                    if let Some(more) = closed.admit() {
                        log::warn!(
                            "{key} connection closed: more than {CONNECTIONS_MOST} at a time; {more} similar suppressed"
                        );
                    }
                }
                Err(error) => {
                    if let Some(more) = closed.admit() {
                        log::warn!("cannot accept {key} connections: {error}; {more} similar suppressed");
                    }
                    sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One request and its answer.
async fn converse(stream: TcpStream, access: Access, source: Arc<dyn AdminSource>) {
    let service = service_fn(move |request: http::Request<Incoming>| {
        let source = Arc::clone(&source);
        async move { Ok::<_, Infallible>(routes::answer(&request.into_parts().0, access, &source).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_BYTES_MOST)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_WITHIN, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => log::debug!("admin connection ended early: {error}"),
        Err(_) => log::debug!("admin connection timed out after {} s", CONNECTION_WITHIN.as_secs()),
    }
}

#[cfg(test)]
#[path = "listener_tests.rs"]
mod tests;
