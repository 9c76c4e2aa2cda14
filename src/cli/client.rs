//! One question to the admin listener of a running edge, within a deadline. Plain HTTP/1.0; needs no runtime.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Where the edge answers unless told otherwise.
const USUAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9901);
/// To connect to this machine.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// Largest answer, in bytes.
const ANSWER_MOST: u64 = 16 * 1024 * 1024;

/// Which edge is asked.
#[derive(Debug, clap::Args)]
pub(super) struct Admin {
    /// Admin address of the edge [default: $REMORA_ADMIN or 127.0.0.1:9901]
    #[arg(long = "admin", value_name = "ADDR")]
    address: Option<SocketAddr>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("REMORA_ADMIN is `{0}`, which is not an address like 127.0.0.1:9901")]
    BadVariable(String),
    #[error("no edge is running at {0}; start one with `remora run`, or give its `admin:` address with --admin")]
    NotRunning(SocketAddr),
    #[error("the edge at {address} did not respond: {cause}")]
    NoAnswer { address: SocketAddr, cause: io::Error },
    #[error("{0} is not a Remora admin endpoint")]
    NotRemora(SocketAddr),
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AdminResponse {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Admin {
    /// The address typed, else the one in the environment, else the usual one.
    pub(super) fn address(&self) -> Result<SocketAddr, ClientError> {
        self.address_or(std::env::var("REMORA_ADMIN").ok())
    }

    fn address_or(&self, variable: Option<String>) -> Result<SocketAddr, ClientError> {
        match (self.address, variable.filter(|value| !value.is_empty())) {
            (Some(address), _) => Ok(address),
            (None, Some(value)) => value.parse().map_err(|_| ClientError::BadVariable(value)),
            (None, None) => Ok(USUAL),
        }
    }
}

/// A path with a query of the pairs that have a value.
pub(super) fn query(path: &str, pairs: &[(&str, Option<&str>)]) -> String {
    let mut text = form_urlencoded::Serializer::for_suffix(format!("{path}?"), path.len() + 1);
    for (key, value) in pairs {
        if let Some(value) = value {
            text.append_pair(key, value);
        }
    }
    text.finish()
}

/// What an answer that is not 200 says.
pub(super) fn error(body: &str) -> String {
    let parsed: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let text = parsed.as_ref().and_then(|value| value["error"].as_str());
    text.unwrap_or(body).trim_end().to_owned()
}

/// Asks and waits for the whole answer.
pub(super) fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    within: Duration,
) -> Result<AdminResponse, ClientError> {
    let mut stream = match TcpStream::connect_timeout(&address, CONNECT_WITHIN) {
        Ok(stream) => stream,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Err(ClientError::NotRunning(address)),
        Err(cause) => return Err(ClientError::NoAnswer { address, cause }),
    };
    let request = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\nAccept: application/json\r\n\r\n");
    let bytes = converse(&mut stream, request.as_bytes(), within);
    parse(&bytes.map_err(|cause| ClientError::NoAnswer { address, cause })?).ok_or(ClientError::NotRemora(address))
}

fn converse(stream: &mut TcpStream, request: &[u8], within: Duration) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + within;
    stream.set_write_timeout(Some(CONNECT_WITHIN))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(answer),
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(io::ErrorKind::TimedOut.into()),
            Err(error) => return Err(error),
        }
        if ANSWER_MOST < answer.len() as u64 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
    }
}

/// The status and the body; `None` when it is not HTTP or not whole.
fn parse(bytes: &[u8]) -> Option<AdminResponse> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let whole = length.is_none_or(|length| length == body.len());
    whole.then(|| AdminResponse { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn the_address_is_typed_set_or_usual() {
        let none = Admin { address: None };
        let typed = Admin { address: Some("127.0.0.1:1".parse().unwrap()) };
        assert_eq!(none.address_or(None).unwrap().to_string(), "127.0.0.1:9901");
        assert_eq!(none.address_or(Some("[::1]:7".into())).unwrap().to_string(), "[::1]:7");
        assert_eq!(typed.address_or(Some("[::1]:7".into())).unwrap().to_string(), "127.0.0.1:1");
        assert!(none.address_or(Some("nowhere".into())).unwrap_err().to_string().contains("`nowhere`"));
    }

    #[test]
    fn an_answer_is_whole_or_none() {
        let answer = |body: &str, status| Some(AdminResponse { status, body: body.to_owned() });
        assert_eq!(parse(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}"), answer("{}", 200));
        assert_eq!(parse(b"HTTP/1.1 422 X\r\n\r\n{}"), answer("{}", 422));
        for bytes in
            [&b"HTTP/1.0 200 OK\r\ncontent-length: 9\r\n\r\n{}"[..], b"SSH-2.0-x\r\n\r\n", b"", b"HTTP/1.0 x\r\n\r\n"]
        {
            assert_eq!(parse(bytes), None);
        }
    }

    fn serve(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer);
            stream.write_all(answer).unwrap();
            // Without an answer the connection stays open, as an edge that hangs would leave it.
            if answer.is_empty() {
                let _ = stream.read(&mut buffer);
            }
        });
        address
    }

    #[test]
    fn failures_say_what_is_wrong() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let within = Duration::from_millis(200);
        let message = |address| ask(address, "GET", "/status", within).unwrap_err().to_string();
        assert!(message(closed).starts_with(&format!("no edge is running at {closed};")));
        assert!(message(serve(b"SSH-2.0-OpenSSH\r\n")).contains("not a Remora"));
        assert!(message(serve(b"")).contains("did not respond"));
    }
}
