//! Tells HTTP/2 in cleartext from HTTP/1.1 by the first bytes of a connection, and waits for each request's first bytes.
//!
//! Pingora's own look waits for all 24 bytes of HTTP/2's preface and never answers a shorter request, such as
//! `GET / HTTP/1.0`; it has no deadline; and between two requests it keeps the whole of a request's memory.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::server::ShutdownWatch;

use crate::proxy::Active;

/// The first bytes of HTTP/2's preface (RFC 9113, section 3.4); no method of HTTP/1.1 starts so.
const PREFACE_START: &[u8; 3] = b"PRI";
const PREFACE_LENGTH: usize = 24;

/// An HTTP application behind a look at the first bytes.
pub struct Door<A> {
    app: Arc<A>,
    http2: Arc<Http2<A>>,
    idle: Duration,
    connections: Arc<Active>,
}

/// The application, told that a connection speaks HTTP/2.
struct Http2<A> {
    app: Arc<A>,
    options: HttpServerOptions,
}

impl<A: HttpServerApp + Send + Sync + 'static> Door<A> {
    /// A door before `app`. A client may take `idle` to begin, between two requests, and to leave HTTP/2 idle.
    /// Every connection is counted in `connections` while it lives.
    pub fn new(app: A, idle: Duration, connections: Arc<Active>) -> Self {
        let app = Arc::new(app);
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        options.h2_idle_timeout = Some(idle);
        let http2 = Arc::new(Http2 { app: Arc::clone(&app), options });
        Self { app, http2, idle, connections }
    }

    /// The first bytes of a request. `None` when the client leaves, says nothing in time, or the process ends: nothing was
    /// asked then, so nothing is answered.
    async fn first_bytes(&self, stream: &mut Stream, shutdown: &ShutdownWatch) -> Option<[u8; PREFACE_START.len()]> {
        let mut start = [0; PREFACE_START.len()];
        let mut shutdown = shutdown.clone();
        tokio::select! {
            biased;
            peeked = tokio::time::timeout(self.idle, stream.try_peek(&mut start)) => match peeked {
                Ok(Ok(true)) => Some(start),
                Ok(Ok(false) | Err(_)) | Err(_) => None,
            },
            _ = shutdown.wait_for(|ending| *ending) => None,
        }
    }

    /// Serves one request after another. Between them nothing of a request is kept but the connection.
    async fn serve_http1(&self, mut stream: Stream, shutdown: &ShutdownWatch) {
        let mut kept: Option<HttpPersistentSettings> = None;
        loop {
            let mut session = ServerSession::new_http1(stream);
            match kept.take() {
                Some(kept) => kept.apply_to_session(&mut session),
                None => session.set_keepalive(Some(self.idle.as_secs().max(1))),
            }
            let Some(reused) = self.app.process_new_http(session, shutdown).await else { return };
            (stream, kept) = reused.consume();
            if self.first_bytes(&mut stream, shutdown).await.is_none() {
                return;
            }
        }
    }
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> ServerApp for Door<A> {
    async fn process_new(self: &Arc<Self>, mut stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let _counted = self.connections.enter();
        let start = self.first_bytes(&mut stream, shutdown).await?;
        if start == *PREFACE_START {
            // Pingora looks at the whole preface again, without a deadline.
            let mut preface = [0; PREFACE_LENGTH];
            tokio::time::timeout(self.idle, stream.try_peek(&mut preface)).await.ok()?.ok()?;
            return self.http2.process_new(stream, shutdown).await;
        }
        self.serve_http1(stream, shutdown).await;
        None
    }

    async fn cleanup(&self) {
        self.app.http_cleanup().await;
    }
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> HttpServerApp for Http2<A> {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        self.app.process_new_http(session, shutdown).await
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.app.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }

    async fn http_cleanup(&self) {
        self.app.http_cleanup().await;
    }
}
