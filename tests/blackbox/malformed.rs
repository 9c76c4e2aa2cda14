//! Requests that two servers could read in two ways: refused, told why, and never seen by a backend.

use std::time::Duration;

use crate::harness::{OK, RawOrigin, TestEdge, Wire, eventually};

/// What an attacker hopes the backend takes for a request of its own.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
const BAD: &[u16] = &[400];
const BAD_OR_UNKNOWN_CODING: &[u16] = &[400, 501];
const LARGE: &[u16] = &[400, 431];
/// Closing without an answer is one, too.
const CLOSED: u16 = 0;

type Row = (&'static str, String, &'static [u16]);

async fn edge_to(origin: &RawOrigin) -> TestEdge {
    TestEdge::start(&format!(
        "routes:\n  /: a\nupstreams:\n  a: {{ servers: {}, check: off, timeouts: {{ read: 5s }} }}\n",
        origin.server()
    ))
    .await
}

fn post(fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}")
}

fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

/// Sends each row on a connection of its own and collects what is wrong, so that one run tells everything.
async fn all_are_refused(rows: &[Row]) {
    let origin = RawOrigin::answering(OK).await;
    let edge = edge_to(&origin).await;
    let mut wrong = Vec::new();
    for (what, bytes, statuses) in rows {
        let mut client = Wire::saying(edge.address, bytes).await;
        client.says_something(Duration::from_secs(2)).await;
        let (text, closed) = client.until_silent(Duration::from_secs(1)).await;
        let status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(CLOSED);
        if !statuses.contains(&status) {
            wrong.push(format!("{what}: answered {status}, not one of {statuses:?}"));
        }
        if 1 < text.matches("HTTP/1.1 ").count() {
            wrong.push(format!("{what}: more than one answer: {text}"));
        }
        if !closed {
            wrong.push(format!("{what}: the connection stays open"));
        }
        if !origin.text().is_empty() {
            wrong.push(format!("{what}: the backend saw {:?}", origin.text()));
            origin.forget();
        }
    }
    let refusals = || edge.access_log().len();
    let told = tokio::time::timeout(Duration::from_secs(2), async {
        while refusals() < rows.len() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let _ = told.await;
    if refusals() != rows.len() {
        wrong.push(format!("{} refusals, {} lines: {:#?}", rows.len(), refusals(), edge.access_log()));
    }
    let after = Wire::saying(edge.address, get("")).await.answer().await;
    assert_eq!(after.status(), 200, "the edge serves on");
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

#[tokio::test]
async fn a_body_with_two_lengths_is_refused() {
    let both = "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n";
    let reversed = "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n";
    let length = |value: &str| post(&format!("Content-Length: {value}\r\n"), &format!("hello{SMUGGLED}"));
    all_are_refused(&[
        ("length and chunks", post(both, &format!("0\r\n\r\n{SMUGGLED}")), BAD),
        ("chunks and length", post(reversed, &format!("0\r\n\r\n{SMUGGLED}")), BAD),
        ("two lengths", post("Content-Length: 5\r\nContent-Length: 0\r\n", &format!("hello{SMUGGLED}")), BAD),
        ("a list of lengths", length("5, 6"), BAD),
        ("a signed length", length("+5"), BAD),
        ("a negative length", length("-1"), BAD),
        ("a hexadecimal length", length("0x5"), BAD),
        ("an empty length", length(""), BAD),
        ("a length of spaces", length("   "), BAD),
        ("a length of 20 digits", length("18446744073709551621"), BAD),
        ("a length with a point", length("5.0"), BAD),
        ("a length and a word", length("5 bytes"), BAD),
        ("a length in other digits", length("\u{0665}"), BAD),
    ])
    .await;
}

#[tokio::test]
async fn any_transfer_coding_but_chunked_alone_is_refused() {
    let coding = |fields: &str| post(fields, &format!("0\r\n\r\n{SMUGGLED}"));
    let old = format!("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}");
    let rows: Vec<Row> = [
        ("identity, then chunked", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"),
        ("chunked, then identity", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
        ("an empty member", "Transfer-Encoding: ,chunked\r\n"),
        ("a prefix", "Transfer-Encoding: xchunked\r\n"),
        ("a suffix", "Transfer-Encoding: chunkedx\r\n"),
        ("chunked twice", "Transfer-Encoding: chunked, chunked\r\n"),
        ("chunked on two lines", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        ("not last", "Transfer-Encoding: chunked, gzip\r\n"),
        ("compressed", "Transfer-Encoding: gzip, chunked\r\n"),
        ("identity", "Transfer-Encoding: identity\r\n"),
        ("empty", "Transfer-Encoding:\r\n"),
        ("quoted", "Transfer-Encoding: \"chunked\"\r\n"),
        ("with a parameter", "Transfer-Encoding: chunked;q=1\r\n"),
        ("with a vertical tab", "Transfer-Encoding: \x0bchunked\r\n"),
        ("a space before the colon", "Transfer-Encoding : chunked\r\n"),
        ("a tab before the colon", "Transfer-Encoding\t: chunked\r\n"),
        ("a leading space", " Transfer-Encoding: chunked\r\n"),
        ("a leading tab", "\tTransfer-Encoding: chunked\r\n"),
        ("folded", "X: a\r\n Transfer-Encoding: chunked\r\n"),
        ("a folded value", "Transfer-Encoding:\r\n chunked\r\n"),
    ]
    .into_iter()
    .map(|(what, fields)| (what, coding(fields), BAD_OR_UNKNOWN_CODING))
    .chain([("in HTTP/1.0", old, BAD)])
    .collect();
    all_are_refused(&rows).await;
}

#[tokio::test]
async fn malformed_fields_are_refused() {
    let rows: Vec<Row> = [
        ("NUL in a value", "X: a\0b\r\n"),
        ("CR in a value", "X: a\rb\r\n"),
        ("CR at the end of a value", "X: a\r\r\n"),
        ("BEL in a value", "X: a\x07b\r\n"),
        ("DEL in a value", "X: a\x7fb\r\n"),
        ("NUL in a name", "X\0: a\r\n"),
        ("a space in a name", "X Y: a\r\n"),
        ("a control in a name", "X\x01: a\r\n"),
        ("a parenthesis in a name", "X(: a\r\n"),
        ("a letter beyond ASCII in a name", "\u{fc}: a\r\n"),
        ("no colon", "nonsense\r\n"),
        ("no name", ": a\r\n"),
        ("a line feed alone", "X: a\nY: b\r\n"),
        ("a folded line", "X: a\r\n\tb\r\n"),
        ("a line of spaces", "   \r\n"),
        ("a field of ours nominated", "Connection: close, X-Forwarded-For\r\n"),
        ("the host nominated", "Connection: host\r\n"),
    ]
    .into_iter()
    .map(|(what, fields)| (what, get(fields), BAD))
    .chain([
        ("line feeds alone throughout", "GET / HTTP/1.1\nHost: a\n\n".into(), BAD),
        ("a line feed alone at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n".into(), BAD),
        ("a line feed after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n".into(), BAD),
    ])
    .collect();
    all_are_refused(&rows).await;
}

#[tokio::test]
async fn a_host_that_is_missing_or_in_doubt_is_refused() {
    let line = |target: &str, hosts: &str| format!("GET {target} HTTP/1.1\r\n{hosts}\r\n");
    all_are_refused(&[
        ("none", line("/", ""), BAD),
        ("an empty one", line("/", "Host:\r\n"), BAD),
        ("a space in it", line("/", "Host: a b\r\n"), BAD),
        ("a path in it", line("/", "Host: a/b\r\n"), BAD),
        ("a port that is none", line("/", "Host: a:x\r\n"), BAD),
        ("two", line("/", "Host: a\r\nHost: b\r\n"), BAD),
        ("the same twice", line("/", "Host: a\r\nHost: a\r\n"), BAD),
        ("userinfo", line("/", "Host: u@a\r\n"), BAD),
        ("another than the target's", line("http://b/", "Host: a\r\n"), BAD),
        ("userinfo in the target", line("http://u@a/", "Host: a\r\n"), BAD),
        ("an absolute target without any", line("http://a/", ""), BAD),
        ("half an IPv6 address", line("/", "Host: [::1\r\n"), BAD),
    ])
    .await;
}

#[tokio::test]
async fn malformed_request_lines_are_refused() {
    let line = |line: &str| format!("{line}\r\nHost: a\r\n\r\n");
    all_are_refused(&[
        ("a space in the target", line("GET /a b HTTP/1.1"), BAD),
        ("two versions", line("GET / HTTP/1.1 HTTP/1.1"), BAD),
        ("two spaces", line("GET  / HTTP/1.1"), BAD),
        ("a tab", line("GET\t/\tHTTP/1.1"), BAD),
        ("a space at the end", line("GET / HTTP/1.1 "), BAD),
        ("a space at the start", line(" GET / HTTP/1.1"), BAD),
        ("no target", line("GET HTTP/1.1"), BAD),
        ("no method", line("/ HTTP/1.1"), BAD),
        ("a method that is no token", line("GE(T / HTTP/1.1"), BAD),
        ("a target without a slash", line("GET a HTTP/1.1"), BAD),
        ("a fragment", line("GET /#a HTTP/1.1"), BAD),
        ("an asterisk", line("GET * HTTP/1.1"), BAD),
        ("an authority", line("GET a:80 HTTP/1.1"), BAD),
        ("NUL in the target", line("GET /\0 HTTP/1.1"), BAD),
        ("a control in the target", line("GET /\x7f HTTP/1.1"), BAD),
        ("HTTP/0.9", "GET /\r\n".into(), &[400, 505, CLOSED]),
        ("HTTP/2.0 in words", line("GET / HTTP/2.0"), &[400, 505]),
        ("HTTP/1.10", line("GET / HTTP/1.10"), &[400, 505]),
        ("HTTP/1", line("GET / HTTP/1"), &[400, 505]),
        ("HTTP/1.2", line("GET / HTTP/1.2"), &[400, 505]),
        ("small letters", line("GET / http/1.1"), &[400, 505]),
        ("another protocol", line("GET / ICY/1.1"), &[400, 505]),
        ("garbage", "\u{1}\u{2}\u{3}garbage\r\n\r\n".into(), &[400, CLOSED]),
        ("mail", "HELO example.com\r\n".into(), &[400, CLOSED]),
        ("a TLS hello", "\x16\x03\x01\x02\0\x01\0\x01\x7c\x03\x03".into(), &[400, CLOSED]),
    ])
    .await;
}

#[tokio::test]
async fn large_heads_are_refused() {
    let long = |length| "a".repeat(length);
    all_are_refused(&[
        ("33 KiB in one field", get(&format!("X: {}\r\n", long(33 * 1024))), LARGE),
        ("33 KiB in a name", get(&format!("{}: x\r\n", long(33 * 1024))), LARGE),
        ("33 KiB in many", get(&format!("X: {}\r\n", long(1024)).repeat(33)), LARGE),
        ("1 MiB that never ends", format!("GET / HTTP/1.1\r\nX: {}", long(1 << 20)), LARGE),
        ("101 fields", get(&"X: a\r\n".repeat(100)), LARGE),
        ("a target of 9 KiB", format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", long(9 * 1024)), &[414]),
        ("a target that never ends", format!("GET /{}", long(64 * 1024)), &[414]),
        ("a method of 1 KiB", format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "A".repeat(1024)), &[400, 501]),
    ])
    .await;
}

#[tokio::test]
async fn heads_within_the_limits_pass() {
    let origin = RawOrigin::answering(OK).await;
    let edge = edge_to(&origin).await;
    let rows = [
        ("30 KiB in one field", get(&format!("X: {}\r\n", "a".repeat(30 * 1024)))),
        ("90 fields", get(&"X: a\r\n".repeat(90))),
        ("a target of 8000 bytes", format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(8000))),
        ("an unknown method", "BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n".into()),
        ("an empty line before it", format!("\r\n{}", get(""))),
        ("an absolute target", "GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n".into()),
        ("options of the server", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".into()),
        ("tabs and letters in a value", get("X:\ta\tb \u{fc} \r\n")),
        ("an empty value", get("X:\r\n")),
        ("every letter of a token", get("!#$%&'*+-.^`|~09azAZ: x\r\n")),
        ("an address for a host", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n".into()),
        ("chunked in capitals", post("Transfer-Encoding: CHUNKED\r\n", "0\r\n\r\n")),
    ];
    for (n, (what, bytes)) in rows.iter().enumerate() {
        let answer = Wire::saying(edge.address, bytes).await.answer().await;
        assert_eq!(answer.status(), 200, "{what}: {}", answer.head);
        assert_eq!(origin.requests().len(), n + 1, "{what}");
    }
}

/// A service is asked for a path and told a host, whatever form the client's target had (RFC 9112, section 3.2).
#[tokio::test]
async fn a_backend_gets_the_path_of_an_absolute_target_and_always_a_host() {
    let origin = RawOrigin::answering(OK).await;
    let edge = edge_to(&origin).await;
    for (bytes, line, host) in [
        ("GET http://a.test/x?y=1 HTTP/1.1\r\nHost: a.test\r\n\r\n", "GET /x?y=1 HTTP/1.1\r\n", "a.test"),
        ("GET /x HTTP/1.0\r\n\r\n", "GET /x HTTP/1.1\r\n", "a"),
    ] {
        origin.forget();
        assert_eq!(Wire::saying(edge.address, bytes).await.answer().await.status(), 200, "{bytes}");
        let head = origin.requests()[0].head.to_ascii_lowercase();
        assert!(head.starts_with(&line.to_ascii_lowercase()), "{head}");
        assert_eq!(head.matches(&format!("\r\nhost: {host}\r\n")).count(), 1, "{head}");
    }
}

#[tokio::test]
async fn a_kept_connection_does_not_take_what_a_new_one_would_not() {
    let origin = RawOrigin::answering(OK).await;
    let edge = edge_to(&origin).await;
    for bad in [
        post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", &format!("0\r\n\r\n{SMUGGLED}")),
        post("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", &format!("0\r\n\r\n{SMUGGLED}")),
        post("Content-Length: 0\r\nContent-Length: 5\r\n", &format!("hello{SMUGGLED}")),
        post("Transfer-Encoding : chunked\r\n", &format!("0\r\n\r\n{SMUGGLED}")),
    ] {
        origin.forget();
        let mut client = Wire::saying(edge.address, get("")).await;
        assert_eq!(client.answer().await.status(), 200);
        client.send(&bad).await;
        assert!(matches!(client.answer().await.status(), 400 | 501), "{bad:?}");
        assert_eq!(client.text().await, "", "{bad:?}");
        assert_eq!(origin.requests().len(), 1, "{bad:?} reached the backend");
        assert!(!origin.text().contains("smuggled"), "{bad:?}");
    }
}

#[tokio::test]
async fn refusals_are_counted_with_their_reason() {
    let origin = RawOrigin::answering(OK).await;
    let edge = edge_to(&origin).await;
    for _ in 0..3 {
        assert_eq!(Wire::saying(edge.address, "GET / HTTP/1.1\r\n\r\n").await.answer().await.status(), 400);
    }
    eventually("they are counted", || async {
        let metrics = edge.metrics().await;
        let count = metrics
            .lines()
            .filter(|line| line.starts_with("remora_request_errors_total{") && line.contains("reason=\"bad_request\""));
        count.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>() == 3
    })
    .await;
}

#[tokio::test]
async fn methods_the_edge_does_not_serve_are_refused_and_others_pass() {
    let origin = RawOrigin::answering(OK).await;
    let edge = edge_to(&origin).await;
    for (line, status) in
        [("CONNECT a:80", 405), ("TRACE /", 405), ("PROPFIND /", 200), ("PURGE /", 200), ("DELETE /", 200)]
    {
        let answer = Wire::saying(edge.address, format!("{line} HTTP/1.1\r\nHost: a:80\r\n\r\n")).await.answer().await;
        assert_eq!(answer.status(), status, "{line}");
    }
    let lines: Vec<_> = origin.requests().iter().map(|request| request.line().to_owned()).collect();
    assert_eq!(lines, ["PROPFIND / HTTP/1.1", "PURGE / HTTP/1.1", "DELETE / HTTP/1.1"]);
}

#[tokio::test]
async fn no_spelling_of_a_path_reaches_another_routes_backend() {
    let (open, closed) = (RawOrigin::answering(OK).await, RawOrigin::answering(OK).await);
    let edge = TestEdge::start(&format!(
        "routes:\n  /: open\n  /admin: closed\nupstreams:\n  open: {{ servers: {}, check: off }}\n  closed: {{ servers: {}, check: off }}\n",
        open.server(),
        closed.server()
    ))
    .await;
    // A backend reads all of these as `/admin` or below it.
    for target in [
        "/api/..%2fadmin",
        "/api/..%2Fadmin",
        "//admin",
        "///admin/x",
        "/./admin",
        "/%2e/admin",
        "/api/%2e%2e/admin",
        "/api/.%2e/admin",
        "/x/../admin",
        "/%61dmin",
        "/a\\..\\admin",
        "/a%5c..%5cadmin",
        "/admin%00",
        "/admin;x",
        "/admin/..;/admin",
        "http://a/admin",
    ] {
        let answer =
            Wire::saying(edge.address, format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).await.answer().await;
        let leaked = answer.status() != 400 && open.requests().iter().any(|request| !request.line().contains(';'));
        assert!(!leaked, "{target} reached the open route");
        open.forget();
    }
    assert!(!closed.requests().is_empty(), "some of them reach the closed route itself");
}
