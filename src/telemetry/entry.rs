//! What a request looked like from outside, as one line: combined or JSON.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use http::Version;

use super::escape;
use super::stamp::Stamp;

/// One answered (or abandoned) request. What a client sent is bytes here and is escaped when written.
#[derive(Debug, Clone, Copy)]
pub struct AccessEntry<'a> {
    /// When the request ended; nginx logs that moment too.
    pub time: SystemTime,
    /// The client, as far as trusted proxies tell it.
    pub client: Option<IpAddr>,
    /// The method; empty when no request line was understood.
    pub method: &'a [u8],
    /// Path and query as sent.
    pub target: &'a [u8],
    /// The client's protocol.
    pub version: Version,
    /// The status sent; 499 by custom when the client left first.
    pub status: u16,
    /// Bytes of body sent.
    pub body_bytes: u64,
    /// `Referer`.
    pub referer: Option<&'a [u8]>,
    /// `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
    /// `Host` or `:authority`.
    pub host: Option<&'a [u8]>,
    /// The id passed to the backend as `X-Request-Id`.
    pub request_id: Option<&'a [u8]>,
    /// The route that matched, as in the file.
    pub route: Option<&'a str>,
    /// The upstream's name.
    pub upstream: Option<&'a str>,
    /// The address of the last backend tried.
    pub backend: Option<&'a str>,
    /// Backends tried; 0 when none was.
    pub tries: u32,
    /// From the first byte of the request to the last of the answer.
    pub duration: Duration,
    /// To open the connection to the backend; `None` when it was reused or never opened.
    pub connect: Option<Duration>,
    /// From sending the request to the backend's first byte.
    pub first_byte: Option<Duration>,
    /// How long the request waited for a backend to come up.
    pub held: Option<Duration>,
    /// Why it failed, as [`super::ErrorReason`] words it.
    pub note: Option<&'a str>,
}

impl AccessEntry<'_> {
    /// An entry that says nothing yet; fill in what is known with `..AccessEntry::at(time)`.
    pub fn at(time: SystemTime) -> Self {
        Self {
            time,
            client: None,
            method: b"",
            target: b"",
            version: Version::HTTP_11,
            status: 0,
            body_bytes: 0,
            referer: None,
            user_agent: None,
            host: None,
            request_id: None,
            route: None,
            upstream: None,
            backend: None,
            tries: 0,
            duration: Duration::ZERO,
            connect: None,
            first_byte: None,
            held: None,
            note: None,
        }
    }

    /// Appends nginx's and Apache's combined line, exactly, with its line feed.
    pub fn combined(&self, out: &mut String) {
        match self.client {
            Some(client) => address(out, client),
            None => out.push('-'),
        }
        out.push_str(" - - [");
        Stamp::at(self.time, |stamp, _| out.push_str(stamp.common()));
        out.push_str("] \"");
        if self.method.is_empty() {
            out.push('-');
        } else {
            escape::nginx(out, self.method);
            out.push(' ');
            escape::nginx(out, self.target);
            out.push(' ');
            out.push_str(protocol(self.version));
        }
        out.push_str("\" ");
        number(out, self.status);
        out.push(' ');
        number(out, self.body_bytes);
        out.push(' ');
        for field in [self.referer, self.user_agent] {
            out.push('"');
            match field {
                Some(bytes) if !bytes.is_empty() => escape::nginx(out, bytes),
                Some(_) | None => out.push('-'),
            }
            out.push_str("\" ");
        }
        out.pop();
        out.push('\n');
    }

    /// The same with the request's id behind it, quoted as the other fields.
    pub fn combined_with_id(&self, out: &mut String) {
        self.combined(out);
        out.pop();
        out.push_str(" \"");
        match self.request_id {
            Some(id) if !id.is_empty() => escape::nginx(out, id),
            Some(_) | None => out.push('-'),
        }
        out.push_str("\"\n");
    }

    /// Appends one JSON object with its line feed. Every line has the same fields; what is not known is `null`.
    pub fn json(&self, out: &mut String) {
        out.push_str("{\"time\":\"");
        Stamp::at(self.time, |stamp, millis| {
            out.push_str(stamp.date_time());
            thousandths(out, millis);
            out.push_str(stamp.offset());
        });
        match self.client {
            Some(client) => {
                out.push_str("\",\"client\":\"");
                address(out, client);
                out.push('"');
            }
            None => out.push_str("\",\"client\":null"),
        }
        text(out, ",\"method\":", Some(self.method).filter(|method| !method.is_empty()));
        text(out, ",\"path\":", Some(self.target).filter(|target| !target.is_empty()));
        text(out, ",\"protocol\":", Some(protocol(self.version).as_bytes()));
        out.push_str(",\"status\":");
        number(out, self.status);
        out.push_str(",\"body_bytes\":");
        number(out, self.body_bytes);
        text(out, ",\"referer\":", self.referer);
        text(out, ",\"user_agent\":", self.user_agent);
        text(out, ",\"host\":", self.host);
        text(out, ",\"request_id\":", self.request_id);
        text(out, ",\"route\":", self.route.map(str::as_bytes));
        text(out, ",\"upstream\":", self.upstream.map(str::as_bytes));
        text(out, ",\"backend\":", self.backend.map(str::as_bytes));
        out.push_str(",\"tries\":");
        number(out, self.tries);
        millis(out, ",\"duration_ms\":", Some(self.duration));
        millis(out, ",\"connect_ms\":", self.connect);
        millis(out, ",\"first_byte_ms\":", self.first_byte);
        millis(out, ",\"held_ms\":", self.held);
        text(out, ",\"note\":", self.note.map(str::as_bytes));
        out.push_str("}\n");
    }
}

/// As nginx writes `$server_protocol`.
fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

/// A member: its name as it stands in the line, and its value.
fn text(out: &mut String, name: &str, value: Option<&[u8]>) {
    out.push_str(name);
    match value {
        Some(bytes) => {
            out.push('"');
            escape::json(out, bytes);
            out.push('"');
        }
        None => out.push_str("null"),
    }
}

fn millis(out: &mut String, name: &str, value: Option<Duration>) {
    out.push_str(name);
    match value {
        Some(value) => {
            number(out, value.as_millis());
            thousandths(out, value.subsec_micros() % 1000);
        }
        None => out.push_str("null"),
    }
}

fn number(out: &mut String, number: impl itoa::Integer) {
    out.push_str(itoa::Buffer::new().format(number));
}

/// `.007`
fn thousandths(out: &mut String, number_of_them: u32) {
    out.push_str(match number_of_them {
        0..10 => ".00",
        10..100 => ".0",
        _ => ".",
    });
    number(out, number_of_them);
}

fn address(out: &mut String, address: IpAddr) {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [first, rest @ ..] = address.octets();
            number(out, first);
            for part in rest {
                out.push('.');
                number(out, part);
            }
        }
        IpAddr::V6(address) => {
            let _ = write!(out, "{address}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use serde_json::{Value, json};

    use super::*;

    fn entry() -> AccessEntry<'static> {
        AccessEntry {
            client: Some("172.18.0.1".parse().unwrap()),
            method: b"GET",
            target: b"/api/items?page=2",
            status: 200,
            body_bytes: 612,
            user_agent: Some(b"curl/8.5.0"),
            ..AccessEntry::at(UNIX_EPOCH + Duration::from_millis(1_795_248_000_123))
        }
    }

    fn combined(entry: &AccessEntry<'_>) -> String {
        let mut line = String::new();
        entry.combined(&mut line);
        line
    }

    fn time_local() -> String {
        let time = UNIX_EPOCH + Duration::from_secs(1_795_248_000);
        chrono::DateTime::<chrono::Local>::from(time).format("%d/%b/%Y:%H:%M:%S %z").to_string()
    }

    #[test]
    fn the_combined_line_is_nginxs() {
        let expected = format!(
            "172.18.0.1 - - [{}] \"GET /api/items?page=2 HTTP/1.1\" 200 612 \"-\" \"curl/8.5.0\"\n",
            time_local()
        );
        assert_eq!(combined(&entry()), expected);
    }

    #[test]
    fn the_id_stands_behind_the_combined_line() {
        for (id, shown) in [(Some(b"0af7651916cd43dd".as_slice()), "0af7651916cd43dd"), (None, "-"), (Some(b""), "-")] {
            let with_id = AccessEntry { request_id: id, ..entry() };
            let mut line = String::new();
            with_id.combined_with_id(&mut line);
            assert_eq!(line, format!("{} \"{shown}\"\n", combined(&entry()).trim_end()));
        }
    }

    #[test]
    fn a_request_that_was_not_understood_has_no_request_line() {
        let line = combined(&AccessEntry {
            method: b"",
            target: b"",
            user_agent: None,
            status: 400,
            body_bytes: 0,
            ..entry()
        });
        assert_eq!(line, format!("172.18.0.1 - - [{}] \"-\" 400 0 \"-\" \"-\"\n", time_local()));
    }

    #[test]
    fn an_ipv4_client_of_a_dual_listener_is_shown_as_ipv4() {
        let line = combined(&AccessEntry { client: Some("::ffff:10.0.0.9".parse().unwrap()), ..entry() });
        assert!(line.starts_with("10.0.0.9 - - ["), "{line}");
    }

    #[test]
    fn a_client_cannot_forge_a_line() {
        let forged = AccessEntry {
            target: b"/\" 200 1 \"-\" \"-\"\n10.0.0.1 - - [x] \"GET / HTTP/1.1",
            referer: Some(b"\x1b[2J\x07"),
            user_agent: Some(b"caf\xe9 \\\""),
            ..entry()
        };
        let line = combined(&forged);
        assert_eq!(line.matches('\n').count(), 1);
        assert_eq!(line.matches('"').count(), 6);
        assert!(line.contains("\\x1B[2J\\x07") && line.contains("caf\\xE9 \\x5C\\x22"), "{line}");
        assert!(line.is_ascii());
    }

    fn parsed(entry: &AccessEntry<'_>) -> Value {
        let mut line = String::new();
        entry.json(&mut line);
        assert!(line.ends_with("}\n") && line.matches('\n').count() == 1, "{line}");
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn json_lines_carry_numbers_as_numbers_and_always_the_same_fields() {
        let full = parsed(&AccessEntry {
            referer: Some(b"https://a/\"\x1b\n\xff"),
            host: Some(b"app.example.com"),
            request_id: Some(b"0af7651916cd43dd"),
            route: Some("/api"),
            upstream: Some("backend"),
            backend: Some("172.18.0.4:8000"),
            tries: 2,
            duration: Duration::from_micros(12_034),
            connect: Some(Duration::from_micros(250)),
            first_byte: Some(Duration::from_millis(11)),
            held: Some(Duration::from_secs(1)),
            note: Some("timeout"),
            ..entry()
        });
        let time = chrono::DateTime::parse_from_rfc3339(full["time"].as_str().unwrap()).unwrap();
        assert_eq!(time.timestamp_millis(), 1_795_248_000_123);
        let mut rest = full.clone();
        rest.as_object_mut().unwrap().remove("time");
        assert_eq!(
            rest,
            json!({
                "client": "172.18.0.1", "method": "GET", "path": "/api/items?page=2", "protocol": "HTTP/1.1",
                "status": 200, "body_bytes": 612, "referer": "https://a/\"\u{1b}\n\\xFF", "user_agent": "curl/8.5.0",
                "host": "app.example.com", "request_id": "0af7651916cd43dd", "route": "/api", "upstream": "backend",
                "backend": "172.18.0.4:8000", "tries": 2, "duration_ms": 12.034, "connect_ms": 0.25,
                "first_byte_ms": 11.0, "held_ms": 1000.0, "note": "timeout",
            })
        );
        let empty = parsed(&AccessEntry::at(UNIX_EPOCH));
        let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&empty), names(&full));
        assert!(empty["method"].is_null() && empty["first_byte_ms"].is_null());
    }
}
