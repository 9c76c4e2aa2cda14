//! Pingora's proxy as a worker uses it: one request at a time in HTTP/1.1, whole connections in HTTP/2.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::server::ShutdownWatch;
use pingora_proxy::HttpProxy;

use crate::config::model::LimitsSpec;
use crate::proxy::Edge;

/// Pingora's proxy, told that a connection speaks HTTP/2.
pub(super) struct Http2 {
    app: Arc<HttpProxy<Edge>>,
    options: HttpServerOptions,
    head_size: u32,
}

impl Http2 {
    /// A connection without a stream is closed after `limits.keepalive`.
    pub fn new(app: Arc<HttpProxy<Edge>>, limits: &LimitsSpec) -> Self {
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        options.h2_idle_timeout = Some(limits.keepalive.max(Duration::from_secs(1)));
        Self { app, options, head_size: u32::try_from(limits.header_size.0).unwrap_or(u32::MAX) }
    }
}

#[async_trait]
impl HttpServerApp for Http2 {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        self.app.process_new_http(session, shutdown).await
    }

    fn h2_options(&self) -> Option<H2Options> {
        let mut options = default_h2_options();
        options.max_header_list_size(self.head_size);
        Some(options)
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }
}
