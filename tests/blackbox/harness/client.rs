//! Clients: a plain HTTP/1.1 one, and bytes on a socket for what a well-behaved one would not send.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;

use super::wire::Wire;

/// A client with a pool of its own.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    inner: legacy::Client<legacy::connect::HttpConnector, Full<Bytes>>,
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

/// True where tests use HTTP/2 unless they name a protocol.
fn is_http2() -> bool {
    match std::env::var("REMORA_TEST_CLIENT").as_deref() {
        Ok("http2") => true,
        Ok("http1") | Err(_) => false,
        Ok(other) => panic!("REMORA_TEST_CLIENT is `{other}`; it must be `http1` or `http2`"),
    }
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, inner: legacy::Client::builder(TokioExecutor::new()).build_http() }
    }

    /// A client of the protocol that the suite runs with: `REMORA_TEST_CLIENT=http2` has every test that does not name one
    /// use HTTP/2.
    pub fn usual(address: SocketAddr) -> Self {
        if is_http2() { Self::http2(address) } else { Self::new(address) }
    }

    /// A client that speaks HTTP/2 from its first byte.
    pub fn http2(address: SocketAddr) -> Self {
        Self { address, inner: legacy::Client::builder(TokioExecutor::new()).http2_only(true).build_http() }
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
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
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

/// Sends bytes that are answered, and returns everything until the other side closes or is silent for half a second.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut wire = Wire::saying(address, bytes).await;
    wire.first_byte().await;
    wire.until_silent(Duration::from_millis(500)).await.0
}
