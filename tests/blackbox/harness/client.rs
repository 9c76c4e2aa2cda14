//! Clients: a plain HTTP/1.1 one, and bytes on a socket for what a well-behaved one would not send.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_rustls::builderstates::WantsProtocols1;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::secure::{secured, trusting};
use super::wire::Wire;

/// A client with a pool of its own.
#[derive(Clone)]
pub struct Client {
    /// `http://127.0.0.1:1234`
    base: String,
    inner: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// What tests use that name no protocol.
#[derive(PartialEq)]
enum Usual {
    Http1,
    Http2,
    /// TLS, and what the edge chooses by ALPN; also for tests that do name a protocol, and for bytes on a connection.
    Tls,
}

fn usual() -> Usual {
    match std::env::var("REMORA_TEST_CLIENT").as_deref() {
        Ok("http1") | Err(_) => Usual::Http1,
        Ok("http2") => Usual::Http2,
        Ok("tls") => Usual::Tls,
        Ok(other) => panic!("REMORA_TEST_CLIENT is `{other}`; it must be `http1`, `http2` or `tls`"),
    }
}

/// True where the edge of every test listens with TLS too, and its clients use that.
pub fn is_tls() -> bool {
    usual() == Usual::Tls
}

/// What a backend is told that clients use.
pub fn scheme() -> &'static str {
    if is_tls() { "https" } else { "http" }
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        let connector = connector().enable_http1().build();
        Self { base: base(address), inner: legacy::Client::builder(TokioExecutor::new()).build(connector) }
    }

    /// A client of the protocol that the suite runs with: `REMORA_TEST_CLIENT=http2` has every test that does not name one
    /// use HTTP/2, `tls` has them all use TLS.
    pub fn usual(address: SocketAddr) -> Self {
        match usual() {
            Usual::Http1 => Self::new(address),
            Usual::Http2 => Self::http2(address),
            Usual::Tls => {
                let connector = connector().enable_all_versions().build();
                Self { base: base(address), inner: legacy::Client::builder(TokioExecutor::new()).build(connector) }
            }
        }
    }

    /// A client that speaks HTTP/2 from its first byte.
    pub fn http2(address: SocketAddr) -> Self {
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        let connector = connector().enable_http2().build();
        Self { base: base(address), inner: builder.http2_only(true).build(connector) }
    }

    /// The host and port that it connects to.
    pub fn authority(&self) -> &str {
        self.base.rsplit('/').next().unwrap()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await
    }

    /// A GET with one field more.
    pub async fn get_as(&self, field: (&str, &str), path: &str) -> Answer {
        self.send(Method::GET, path, &[field], "").await
    }

    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        self.try_send(method, path, headers, body).await.unwrap()
    }

    /// Like `send`, for answers that may not come.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into()))?;
        let exchange = async {
            let (head, body) = self.inner.request(request).await?.into_parts();
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>((head, body.collect().await?.to_bytes()))
        };
        let (head, bytes) = tokio::time::timeout(Duration::from_secs(30), exchange).await??;
        Ok(Answer { status: head.status, headers: head.headers, body: String::from_utf8_lossy(&bytes).into_owned() })
    }
}

fn connector() -> HttpsConnectorBuilder<WantsProtocols1> {
    HttpsConnectorBuilder::new().with_tls_config(trusting()).https_or_http()
}

fn base(address: SocketAddr) -> String {
    secured(address).map_or_else(|| format!("http://{address}"), |secured| format!("https://{secured}"))
}

/// Sends bytes that are answered, and returns everything until the other side closes or is silent for half a second.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut wire = Wire::saying(address, bytes).await;
    wire.first_byte().await;
    wire.until_silent(Duration::from_millis(500)).await.0
}
