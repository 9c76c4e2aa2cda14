//! Request heads that pass and that do not.

use super::super::scan::Scan;
use super::*;

const LIMITS: HeadLimits = HeadLimits { size: 4096, fields: 20, target: 1024 };

fn read(text: &[u8]) -> Result<RequestHead, BadHead> {
    let length = Scan::default().end(text, LIMITS)?.ok_or(BadHead::bad("incomplete"))?;
    let mut head = RequestHead::default();
    head.read(&text[..length], LIMITS)?;
    assert_eq!(head.length, length);
    Ok(head)
}

fn status(text: &str) -> u16 {
    match read(text.as_bytes()) {
        Ok(_) => 200,
        Err(BadHead { why: "incomplete", .. }) => 0,
        Err(bad) => bad.status.as_u16(),
    }
}

#[test]
fn a_head_is_understood() {
    let text = b"POST /a/b?c=d HTTP/1.1\r\nHost: app:8080\r\nContent-Length: 5\r\nExpect: 100-Continue\r\nX-Y:  z \r\n\r\nhello";
    let head = read(text).unwrap();
    let view = head.view(text);
    assert_eq!((view.method(), view.path(), view.query(), view.host()), ("POST", "/a/b", &b"?c=d"[..], "app:8080"));
    assert_eq!((head.framing, head.keep_alive, head.expects_continue), (Framing::Length(5), true, true));
    let last = view.fields().last().unwrap();
    assert_eq!((last.1, last.2), (&b"X-Y"[..], &b"z"[..]));
    assert_eq!(&text[head.length..], b"hello");
}

#[test]
fn an_absolute_target_names_the_host() {
    let text = b"GET http://App.test/x?y HTTP/1.1\r\nHost: app.test\r\n\r\n";
    let head = read(text).unwrap();
    assert_eq!((head.view(text).host(), head.view(text).path_and_query()), ("App.test", &b"/x?y"[..]));
}

#[test]
fn connections_are_kept_as_asked() {
    #[rustfmt::skip]
    let rows = [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n",                                true),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n",           false),
        ("GET / HTTP/1.0\r\n\r\n",                                           false),
        ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",                 true),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n", false),
    ];
    for (text, kept) in rows {
        assert_eq!(read(text.as_bytes()).unwrap().keep_alive, kept, "{text}");
    }
}

#[test]
fn websockets_are_recognised() {
    let text = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n";
    assert!(read(text).unwrap().is_websocket);
    let text = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    assert!(!read(text).unwrap().is_websocket);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one row an input")]
fn only_one_reading_passes() {
    let host = "Host: a\r\n";
    #[rustfmt::skip]
    let rows = [
        // request line and fields                                          status
        (format!("GET / HTTP/1.1\r\n{host}\r\n"),                               200),
        (format!("\r\nGET / HTTP/1.1\r\n{host}\r\n"),                           200),
        (format!("OPTIONS * HTTP/1.1\r\n{host}\r\n"),                           200),
        (format!("PROPFIND / HTTP/1.1\r\n{host}\r\n"),                          200),
        (format!("GET * HTTP/1.1\r\n{host}\r\n"),                               400),
        (format!("GET /a b HTTP/1.1\r\n{host}\r\n"),                            400),
        (format!("GET  / HTTP/1.1\r\n{host}\r\n"),                              400),
        (format!("GET / HTTP/1.1 HTTP/1.1\r\n{host}\r\n"),                      400),
        (format!("GET /#x HTTP/1.1\r\n{host}\r\n"),                             400),
        (format!("GET a HTTP/1.1\r\n{host}\r\n"),                               400),
        (format!("get / HTTP/1.1\r\n{host}\r\n"),                               400),
        (format!("{} / HTTP/1.1\r\n{host}\r\n", "A".repeat(33)),                501),
        (format!("CONNECT a:443 HTTP/1.1\r\n{host}\r\n"),                       405),
        (format!("TRACE / HTTP/1.1\r\n{host}\r\n"),                             405),
        (format!("GET / HTTP/2.0\r\n{host}\r\n"),                               505),
        (format!("GET / HTTP/1.10\r\n{host}\r\n"),                              400),
        (format!("GET / HTTP/1.2\r\n{host}\r\n"),                               505),
        (format!("GET /\r\n{host}\r\n"),                                        400),
        ("GET / HTTP/1.1\r\n\r\n".into(),                                       400),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n".into(),                              400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n".into(),                          400),
        ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n".into(),                          400),
        ("GET / HTTP/1.1\r\nHost: a:x\r\n\r\n".into(),                          400),
        ("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n".into(),                     200),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".into(),                          400),
        (format!("GET / HTTP/1.1\r\n{host}{host}\r\n"),                         400),
        (format!("GET http://b/ HTTP/1.1\r\n{host}\r\n"),                       400),
        (format!("GET http://u@a/ HTTP/1.1\r\n{host}\r\n"),                     400),
        (format!("GET ftp://a/ HTTP/1.1\r\n{host}\r\n"),                        400),
        (format!("GET http://a HTTP/1.1\r\n{host}\r\n"),                        400),
        (format!("POST / HTTP/1.1\r\n{host}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"), 400),
        (format!("POST / HTTP/1.1\r\n{host}Content-Length: 1\r\nContent-Length: 1\r\n\r\n"), 400),
        (format!("POST / HTTP/1.1\r\n{host}Content-Length: 5, 5\r\n\r\n"),      400),
        (format!("POST / HTTP/1.1\r\n{host}Content-Length: +5\r\n\r\n"),        400),
        (format!("POST / HTTP/1.1\r\n{host}Content-Length: -1\r\n\r\n"),        400),
        (format!("POST / HTTP/1.1\r\n{host}Content-Length: 0x5\r\n\r\n"),       400),
        (format!("POST / HTTP/1.1\r\n{host}Content-Length:\r\n\r\n"),           400),
        (format!("POST / HTTP/1.1\r\n{host}Content-Length: 99999999999999999999\r\n\r\n"), 400),
        (format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: Chunked\r\n\r\n"), 200),
        (format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: xchunked\r\n\r\n"), 501),
        (format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: ,chunked\r\n\r\n"), 501),
        (format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: gzip, chunked\r\n\r\n"), 501),
        (format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n"), 501),
        (format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"), 400),
        (format!("POST / HTTP/1.0\r\n{host}Transfer-Encoding: chunked\r\n\r\n"), 400),
        (format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding : chunked\r\n\r\n"), 400),
        (format!("GET / HTTP/1.1\r\n{host} X: folded\r\n\r\n"),                 400),
        (format!("GET / HTTP/1.1\r\n{host}X: a\r\n\tb\r\n\r\n"),                400),
        (format!("GET / HTTP/1.1\r\n{host}X: a\0b\r\n\r\n"),                    400),
        (format!("GET / HTTP/1.1\r\n{host}X: a\rb\r\n\r\n"),                    400),
        (format!("GET / HTTP/1.1\r\n{host}X: a\x7fb\r\n\r\n"),                  400),
        (format!("GET / HTTP/1.1\r\n{host}: x\r\n\r\n"),                        400),
        (format!("GET / HTTP/1.1\r\n{host}nocolon\r\n\r\n"),                    400),
        ("GET / HTTP/1.1\nHost: a\n\n".into(),                                  400),
        (format!("GET / HTTP/1.1\r\n{host}X: a\nY: b\r\n\r\n"),                 400),
        (format!("GET / HTTP/1.1\r\n{host}Connection: close, X-Forwarded-For\r\n\r\n"), 400),
        (format!("GET / HTTP/1.1\r\n{host}Connection: host\r\n\r\n"),           400),
        (format!("GET /{} HTTP/1.1\r\n{host}\r\n", "a".repeat(1024)),           414),
        (format!("GET / HTTP/1.1\r\n{host}X: {}\r\n\r\n", "a".repeat(4096)),    431),
        (format!("GET / HTTP/1.1\r\n{host}{}\r\n", "X: a\r\n".repeat(20)),      431),
    ];
    for (text, expected) in rows {
        assert_eq!(status(&text), expected, "{text:?}");
    }
}

#[test]
fn what_is_no_http_is_refused_at_its_first_bytes() {
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01"[..],
        b"hello\r\n",
        b"\0",
        b"GE\tT",
        b"\n",
        b" GET /",
        b"GET /\r\n",
        b"MAIL FROM:<a@b>\r\n",
    ] {
        assert!(Scan::default().end(bytes, LIMITS).is_err(), "{bytes:?}");
    }
    for bytes in [&b"G"[..], b"GET", b"GET ", b"\r\n", b"GET / HTTP/1.1\r\n", b""] {
        assert_eq!(Scan::default().end(bytes, LIMITS), Ok(None), "{bytes:?}");
    }
}

#[test]
fn a_head_in_pieces_ends_where_it_ends() {
    let text = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
    let mut scan = Scan::default();
    let ends: Vec<_> = (0..text.len()).filter_map(|end| scan.end(&text[..end], LIMITS).unwrap().map(|_| end)).collect();
    assert_eq!(ends.first(), Some(&(text.len() - 4)));
}

#[test]
fn names_that_connection_nominates_are_known() {
    let text = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n\r\n";
    let head = read(text).unwrap();
    assert!(head.view(text).is_nominated(b"x-hop") && !head.view(text).is_nominated(b"host"));
}
