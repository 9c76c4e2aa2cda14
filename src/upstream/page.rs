//! Requests a page of a backend and judges its status. Interim responses are read past (RFC 9110, section 15.2), and a body
//! has to come as a whole.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::config::model::{PageSpec, StatusRanges};
use crate::http1::{Chunked, ChunkedForm, ResponseFraming, ResponseHead};

use super::connect::{is_ours, not_connected};
use super::failure::Failure;
use super::probe_result::ProbeResult;

/// Largest head that is read, bytes.
const HEAD_MAX: usize = 64 * 1024;
/// What is read at a time.
const PIECE: usize = 8 * 1024;

/// A page to request, with its request written down.
pub(super) struct PageCheck {
    request: Vec<u8>,
    is_head: bool,
    expect: StatusRanges,
}

/// Why a page was not had.
enum PageError {
    Io(io::Error),
    Failed(Failure),
}

impl From<io::Error> for PageError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Failure> for PageError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl PageCheck {
    /// `own_host` is sent where the file names no other.
    pub fn new(spec: &PageSpec, own_host: &str) -> Self {
        let host = spec.host.as_deref().unwrap_or(own_host);
        let mut request = format!("{} {} HTTP/1.1\r\nHost: {host}\r\n", spec.method, spec.path).into_bytes();
        if !spec.headers.iter().any(|(name, _)| name == http::header::USER_AGENT) {
            request.extend_from_slice(b"User-Agent: remora-check\r\n");
        }
        for (name, value) in &spec.headers {
            let line = [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"];
            line.iter().for_each(|part| request.extend_from_slice(part));
        }
        if spec.method == http::Method::POST {
            request.extend_from_slice(b"Content-Length: 0\r\n");
        }
        request.extend_from_slice(b"Connection: close\r\n\r\n");
        Self { request, is_head: spec.method == http::Method::HEAD, expect: spec.expect.clone() }
    }

    /// Requests it once. `None` where the edge itself could not ask.
    pub async fn ask(&self, address: SocketAddr) -> Option<ProbeResult> {
        let stream = match TcpStream::connect(address).await {
            Ok(stream) => stream,
            Err(error) => {
                let (failure, is_to_blame) = not_connected(&error);
                return is_to_blame.then(|| Err(failure.into()));
            }
        };
        match self.exchange(stream).await {
            Ok(()) => Some(Ok(None)),
            Err(PageError::Failed(failure)) => Some(Err(failure.into())),
            Err(PageError::Io(error)) if is_ours(&error) => None,
            Err(PageError::Io(error)) if error.kind() == io::ErrorKind::TimedOut => Some(Err(Failure::Timeout.into())),
            Err(PageError::Io(_)) => Some(Err(Failure::Reset.into())),
        }
    }

    async fn exchange(&self, mut stream: TcpStream) -> Result<(), PageError> {
        // One that refuses may have answered and closed already.
        let _ = stream.write_all(&self.request).await;
        let (mut bytes, mut head) = (Vec::with_capacity(PIECE), ResponseHead::default());
        loop {
            if head.read(&bytes, self.is_head).map_err(|_| Failure::BadAnswer)? {
                if !head.is_interim() {
                    break;
                }
                bytes.drain(..head.length);
                continue;
            }
            if HEAD_MAX <= bytes.len() {
                return Err(Failure::BadAnswer.into());
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return Err(Failure::Reset.into());
            }
        }
        if !self.expect.contains(head.status) {
            return Err(Failure::Status(head.status).into());
        }
        bytes.drain(..head.length);
        read_body(&mut stream, bytes, head.framing).await
    }
}

/// Reads a body to its end and forgets it. `bytes` are what came of it with the head.
async fn read_body(stream: &mut TcpStream, mut bytes: Vec<u8>, framing: ResponseFraming) -> Result<(), PageError> {
    let mut chunked = Chunked::new(ChunkedForm::Data);
    let mut read = 0;
    loop {
        read += bytes.len() as u64;
        let is_whole = match framing {
            ResponseFraming::None => true,
            ResponseFraming::Length(length) => length <= read,
            ResponseFraming::Chunked => {
                chunked.rewrite(&mut bytes).map_err(|_| Failure::BadAnswer)?;
                chunked.is_done()
            }
            ResponseFraming::UntilClose => false,
        };
        if is_whole {
            return Ok(());
        }
        bytes.clear();
        bytes.reserve(PIECE);
        if stream.read_buf(&mut bytes).await? == 0 {
            let is_end = framing == ResponseFraming::UntilClose;
            return if is_end { Ok(()) } else { Err(Failure::Reset.into()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue, Method};

    use super::*;

    fn spec(method: Method) -> PageSpec {
        let expect = StatusRanges(vec![200..=399]);
        PageSpec { method, path: "/health?deep=1".into(), host: None, headers: Vec::new(), expect }
    }

    #[test]
    fn a_request_says_what_the_file_says() {
        let text = |spec: &PageSpec| String::from_utf8(PageCheck::new(spec, "app:80").request).unwrap();
        let plain =
            "GET /health?deep=1 HTTP/1.1\r\nHost: app:80\r\nUser-Agent: remora-check\r\nConnection: close\r\n\r\n";
        assert_eq!(text(&spec(Method::GET)), plain);
        let header = |name, value| (HeaderName::from_static(name), HeaderValue::from_static(value));
        let mut full = spec(Method::POST);
        full.host = Some("a.example".into());
        full.headers = vec![header("authorization", "Bearer x"), header("user-agent", "own")];
        assert_eq!(
            text(&full),
            "POST /health?deep=1 HTTP/1.1\r\nHost: a.example\r\nauthorization: Bearer x\r\nuser-agent: own\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }

    async fn asked(method: Method, response: &str) -> Result<(), String> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let page = PageCheck::new(&spec(method), "app:80");
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; page.request.len()];
            stream.read_exact(&mut request).await.unwrap();
            stream.write_all(response.as_bytes()).await.unwrap();
        };
        let (result, ()) = tokio::join!(page.ask(address), server);
        result.unwrap().map(|_| ()).map_err(|failure| failure.to_string())
    }

    #[tokio::test]
    async fn the_final_response_counts_and_all_of_it() {
        let ok = "HTTP/1.1 200 OK\r\n";
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
        let cut = "connection closed before a response";
        #[rustfmt::skip]
        let rows = [
            (Method::GET,  format!("{ok}Content-Length: 2\r\n\r\nok"),                            None),
            (Method::GET,  format!("HTTP/1.1 100 Continue\r\n\r\n{ok}Content-Length: 2\r\n\r\nok"), None),
            (Method::GET,  format!("{hints}{hints}HTTP/1.1 204 No Content\r\n\r\n"),              None),
            (Method::GET,  format!("{hints}HTTP/1.1 503 Oh\r\n\r\n"),                             Some("status 503")),
            (Method::GET,  hints.to_owned(),                                                       Some(cut)),
            (Method::GET,  "HTTP/1.1 101 Switching Protocols\r\n\r\n".to_owned(),                 Some("status 101")),
            (Method::GET,  format!("{ok}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),   None),
            (Method::GET,  format!("{ok}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"),          Some(cut)),
            (Method::GET,  format!("{ok}Transfer-Encoding: chunked\r\n\r\nok"),                   Some("not an HTTP response")),
            (Method::GET,  format!("{ok}Content-Length: 3\r\n\r\nok"),                            Some(cut)),
            (Method::HEAD, format!("{ok}Content-Length: 3\r\n\r\n"),                              None),
            (Method::GET,  "HTTP/1.0 200 OK\r\n\r\nto the end".to_owned(),                        None),
            (Method::GET,  "PONG\r\n".to_owned(),                                                 Some("not an HTTP response")),
            (Method::GET,  String::new(),                                                          Some(cut)),
        ];
        for (method, response, failure) in rows {
            let result = asked(method, &response).await;
            assert_eq!(result.err().as_deref(), failure, "{response:?}");
        }
    }
}
