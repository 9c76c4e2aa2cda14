//! The chunked coding, whole and cut at every byte.

use super::*;

/// What is sent of a body that comes in pieces of `size` bytes, and how many bytes belonged to it.
fn sent(body: &[u8], form: ChunkedForm, size: usize) -> Result<(Vec<u8>, usize), BadChunk> {
    let mut chunked = Chunked::new(form);
    let (mut out, mut read) = (Vec::new(), 0);
    for piece in body.chunks(size) {
        let mut piece = piece.to_vec();
        let rewritten = chunked.rewrite(&mut piece)?;
        assert!(rewritten.written <= rewritten.read);
        out.extend_from_slice(&piece[..rewritten.written]);
        read += rewritten.read;
    }
    if !chunked.is_done() {
        return Err(BadChunk("unfinished"));
    }
    if form == ChunkedForm::Chunks {
        out.extend_from_slice(chunked.ending());
    }
    Ok((out, read))
}

#[test]
fn bodies_come_out_plain_however_they_are_cut() {
    #[rustfmt::skip]
    let rows: [(&str, &str, &str); 8] = [
        // came                                         chunks                               data
        ("0\r\n\r\n",                                   "0\r\n\r\n",                         ""),
        ("5\r\nhello\r\n0\r\n\r\n",                     "5\r\nhello\r\n0\r\n\r\n",           "hello"),
        ("005\r\nhello\r\n000\r\n\r\n",                 "5\r\nhello\r\n0\r\n\r\n",           "hello"),
        ("3;a=b\r\nabc\r\n2;c=\"\\\";\"\r\nde\r\n0;x\r\n\r\n", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", "abcde"),
        ("A\r\n0123456789\r\n0\r\n\r\n",                "A\r\n0123456789\r\n0\r\n\r\n",      "0123456789"),
        ("1\r\nx\r\n0\r\nX-Sum: 7\r\n\r\n",             "1\r\nx\r\n0\r\nX-Sum: 7\r\n\r\n",   "x"),
        ("1\r\nx\r\n0\r\nHost: a\r\nX: 1\r\nContent-Length: 3\r\n\r\n", "1\r\nx\r\n0\r\nX: 1\r\n\r\n", "x"),
        ("1\r\nx\r\n0\r\nHost: a\r\n\r\n",              "1\r\nx\r\n0\r\n\r\n",               "x"),
    ];
    for (came, chunks, data) in rows {
        for size in 1..=came.len() {
            let (out, read) = sent(came.as_bytes(), ChunkedForm::Chunks, size).unwrap();
            assert_eq!((String::from_utf8(out).unwrap().as_str(), read), (chunks, came.len()), "{came:?} by {size}");
            let (out, _) = sent(came.as_bytes(), ChunkedForm::Data, size).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), data, "{came:?} by {size}");
        }
    }
}

#[test]
fn what_follows_the_body_is_left_alone() {
    let mut bytes = *b"1;x\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\n";
    let mut chunked = Chunked::new(ChunkedForm::Chunks);
    let rewritten = chunked.rewrite(&mut bytes).unwrap();
    assert_eq!(&bytes[rewritten.read..], b"GET / HTTP/1.1\r\n");
    assert_eq!((&bytes[..rewritten.written], chunked.data()), (&b"1\r\na\r\n"[..], 1));
}

#[test]
fn malformed_bodies_are_refused() {
    let long = format!("1;{}\r\n", "x".repeat(9000));
    let trailer = format!("0\r\nX: {}\r\n\r\n", "x".repeat(40_000));
    #[rustfmt::skip]
    let rows = [
        "+5\r\n", "0x5\r\n", "_5\r\n", "\r\n", " 5\r\n", "5 \r\n", "-1\r\n", "5\nhello\r\n", "g\r\n",
        "12345678901234567\r\n", "5\r\nhelloX", "5\r\nhello\rX", "5\r\nhello\n", "5\rhello", "1;\0\r\n", "1;\"\r\n",
        "0\r\nno colon\r\n\r\n", "0\r\n: x\r\n\r\n", "0\r\nA B: x\r\n\r\n", "0\r\n X: folded\r\n\r\n", "0\r\nX: a\nY: b\r\n\r\n",
        &long, &trailer,
    ];
    for body in rows {
        for size in [1, 3, body.len()] {
            let refused = sent(body.as_bytes(), ChunkedForm::Chunks, size).unwrap_err();
            assert_ne!(refused, BadChunk("unfinished"), "{:?} by {size}", &body[..body.len().min(30)]);
        }
    }
}
