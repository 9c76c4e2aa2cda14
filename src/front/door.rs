//! Tells HTTP/2 in cleartext from HTTP/1.1 by the first bytes of a connection.
//!
//! Pingora's own look waits for all 24 bytes of HTTP/2's preface and never answers a shorter request, such as
//! `GET / HTTP/1.0`; and it waits without a deadline.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::server::ShutdownWatch;

/// The first bytes of HTTP/2's preface (RFC 9113, section 3.4); no method of HTTP/1.1 starts so.
const PREFACE_START: &[u8; 3] = b"PRI";

/// An HTTP application behind a look at the first bytes.
pub struct Door<A> {
    http1: Arc<Lane<A>>,
    http2: Arc<Lane<A>>,
    first_bytes: Duration,
}

/// The application, told which protocol a connection speaks.
struct Lane<A> {
    app: Arc<A>,
    options: HttpServerOptions,
}

impl<A: HttpServerApp + Send + Sync + 'static> Door<A> {
    /// A door before `app`. A client may take `first_bytes` to begin, and as long to leave HTTP/2 idle.
    pub fn new(app: A, first_bytes: Duration) -> Self {
        let app = Arc::new(app);
        let lane = |h2c| {
            let mut options = HttpServerOptions::default();
            options.h2c = h2c;
            options.h2_idle_timeout = Some(first_bytes);
            Arc::new(Lane { app: Arc::clone(&app), options })
        };
        Self { http1: lane(false), http2: lane(true), first_bytes }
    }
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> ServerApp for Door<A> {
    async fn process_new(self: &Arc<Self>, mut stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let mut start = [0; PREFACE_START.len()];
        let peeked = tokio::time::timeout(self.first_bytes, stream.try_peek(&mut start)).await;
        let is_http2 = match peeked {
            Ok(Ok(seen)) => seen && start == *PREFACE_START,
            // A client that says nothing, or leaves: nothing was asked, so nothing is answered.
            Ok(Err(_)) | Err(_) => return None,
        };
        let lane = if is_http2 { &self.http2 } else { &self.http1 };
        lane.process_new(stream, shutdown).await
    }

    async fn cleanup(&self) {
        self.http1.http_cleanup().await;
    }
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> HttpServerApp for Lane<A> {
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
