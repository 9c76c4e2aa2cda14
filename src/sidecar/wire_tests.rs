//! Rows for what is a request, and what a reply may be.

use super::super::fitting::{WORDS_MAX, fitting};
use super::*;

fn target() -> WireTarget {
    WireTarget { upstream: UpstreamName::parse("backend").unwrap(), backend: "172.18.0.3:8000".parse().unwrap() }
}

#[test]
fn only_the_vocabulary_is_understood() {
    let bomb = "[".repeat(250);
    let deep = format!("{{\"v\":1,\"do\":\"status\",\"upstream\":{}", "{\"a\":".repeat(40));
    #[rustfmt::skip]
    let rows: Vec<(&str, Result<SidecarRequest, NoRequest>)> = vec![
        (r#"{"v":1,"do":"find","upstream":"backend","backend":"172.18.0.3:8000"}"#, Ok(SidecarRequest::Find(target()))),
        (r#"{"v":1,"do":"logs","upstream":"backend","backend":"172.18.0.3:8000"}"#, Ok(SidecarRequest::Logs(target()))),
        (r#"{"do":"step","sum":7,"step":2,"backend":"172.18.0.3:8000","upstream":"backend","v":1}"#,
            Ok(SidecarRequest::Step { target: target(), index: 2, sum: 7 })),
        (r#"{"v":1,"do":"watch"}"#,  Ok(SidecarRequest::Watch)),
        (r#"{"v":1,"do":"status"}"#, Ok(SidecarRequest::Status)),
        (r#"{"v":2,"do":"status"}"#, Err(NoRequest::Version)),
    ];
    for (line, expected) in rows {
        assert_eq!(SidecarRequest::parse(line.as_bytes()), expected, "{line}");
    }
    #[rustfmt::skip]
    let malformed = [
        "", "null", "{}", "[]", "\u{0}", "GET / HTTP/1.1", &bomb, &deep,
        r#"{"v":1,"do":"exec"}"#,
        r#"{"v":1,"do":"restart","upstream":"backend","backend":"172.18.0.3:8000"}"#,
        r#"{"v":1,"do":"find"}"#,
        r#"{"v":1,"do":"find","upstream":"backend"}"#,
        r#"{"v":1,"do":"find","upstream":"../x","backend":"172.18.0.3:8000"}"#,
        r#"{"v":1,"do":"find","upstream":"backend","backend":"../x"}"#,
        r#"{"v":1,"do":"find","upstream":"backend","backend":"database:3306"}"#,
        r#"{"v":1,"do":"find","upstream":"backend","backend":"172.18.0.3:8000","step":0}"#,
        r#"{"v":1,"do":"step","upstream":"backend","backend":"172.18.0.3:8000"}"#,
        r#"{"v":1,"do":"step","upstream":"backend","backend":"172.18.0.3:8000","step":0}"#,
        r#"{"v":1,"do":"step","upstream":"backend","backend":"172.18.0.3:8000","step":-1,"sum":1}"#,
        r#"{"v":1,"do":"step","upstream":"backend","backend":"172.18.0.3:8000","step":256,"sum":1}"#,
        r#"{"v":1,"do":"step","upstream":"backend","backend":"172.18.0.3:8000","step":["rm","-rf"],"sum":1}"#,
        r#"{"v":1,"do":"step","upstream":"backend","backend":"172.18.0.3:8000","step":0,"sum":1,"argv":["id"]}"#,
        r#"{"v":1,"do":"status","do":"watch"}"#,
        r#"{"v":1,"do":"status"} {"v":1,"do":"status"}"#,
        r#"{"v":1,"do":"status","user":"0"}"#,
    ];
    for line in malformed {
        assert_eq!(SidecarRequest::parse(line.as_bytes()), Err(NoRequest::Malformed), "{line}");
    }
}

#[test]
fn what_is_written_can_be_read() {
    let name = UpstreamName::parse(&"x".repeat(63)).unwrap();
    let long =
        WireTarget { upstream: name, backend: "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap() };
    let requests = [
        SidecarRequest::Find(target()),
        SidecarRequest::Step { target: long, index: 19, sum: u32::MAX },
        SidecarRequest::Logs(target()),
        SidecarRequest::Watch,
        SidecarRequest::Status,
    ];
    for request in requests {
        let line = request.line();
        assert!(line.len() <= REQUEST_MAX && line.ends_with(b"\n"), "{}", line.len());
        assert_eq!(SidecarRequest::parse(line.trim_ascii_end()), Ok(request));
    }
    let reply = Reply::Done(Done { code: Some(3), output: "a\n\"b\"".into(), took_ms: 12 });
    assert_eq!(Reply::parse(reply.clone().line().trim_ascii_end()), Some(reply));
    assert_eq!(Reply::parse(br#"{"v":2,"reply":"beat"}"#), None);
    assert_eq!(Reply::parse(br#"{"v":1,"reply":"beat"}"#), Some(Reply::Beat));
}

#[test]
fn a_reply_fits_whatever_a_program_says() {
    for words in ["\u{1}", "\"", "é", "a", "\u{10ffff}"] {
        let output = fitting(&words.repeat(20_000), WORDS_MAX);
        let line = Reply::Done(Done { code: Some(0), output, took_ms: 0 }).line();
        assert!(WORDS_MAX < line.len() + 8 && line.len() <= REPLY_MAX, "{words:?}: {}", line.len());
    }
    assert_eq!(fitting("the end", 3), "end");
    assert_eq!(fitting("short", 100), "short");
}

#[test]
fn steps_are_told_apart() {
    let exec = |words: &[&str]| Step::Exec(words.iter().map(|word| (*word).to_owned()).collect());
    assert_eq!(sum(&exec(&["a", "b"])), sum(&exec(&["a", "b"])));
    assert_ne!(sum(&exec(&["a", "b"])), sum(&Step::Restart));
}
