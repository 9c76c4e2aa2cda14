//! Answer heads that pass and that do not.

use super::*;

fn framing(text: &str, to_head: bool) -> Result<(ResponseFraming, bool), BadAnswer> {
    let mut head = ResponseHead::default();
    assert!(head.read(text.as_bytes(), to_head)?, "incomplete");
    Ok((head.framing, head.keep_alive))
}

#[test]
fn lengths_are_as_the_standard_says() {
    use ResponseFraming as F;
    #[rustfmt::skip]
    let rows = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",                        false, F::Length(5), true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",   false, F::Length(5), true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",                        true,  F::None, true),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",              false, F::None, true),
        ("HTTP/1.1 204 No Content\r\n\r\n",                                     false, F::None, true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",               false, F::Chunked, true),
        ("HTTP/1.1 200 OK\r\n\r\n",                                             false, F::UntilClose, false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",                        false, F::Length(0), false),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", false, F::Length(0), true),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",   false, F::Length(0), false),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n",                  false, F::None,      false),
        ("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",       false, F::None,      false),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",                  false, F::None,      true),
        ("HTTP/1.1 200 OK\nContent-Length: 5\n\n",                              false, F::Length(5), true),
        ("HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n",                           false, F::Length(5), true),
    ];
    for (text, to_head, expected, kept) in rows {
        assert_eq!(framing(text, to_head), Ok((expected, kept)), "{text:?}");
    }
}

#[test]
fn answers_that_could_deceive_are_refused() {
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 banana\r\n\r\n",
        "HTTP/1.1 099 Low\r\n\r\n",
        "HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n",
    ] {
        assert!(framing(text, false).is_err(), "{text:?}");
    }
}

#[test]
fn half_a_head_is_waited_for() {
    let text = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let mut head = ResponseHead::default();
    for end in 0..text.len() {
        assert_eq!(head.read(&text[..end], false), Ok(false));
    }
    assert_eq!(head.read(text, false), Ok(true));
    assert!(head.is_interim());
    assert_eq!(head.view(text).reason(), b"Early Hints");
}
