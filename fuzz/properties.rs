//! What the parsers promise, for any bytes. The fuzz targets and `tests/corpora` check the same.

use remora::http1::{
    BadChunk, Chunked, ChunkedForm, Framing, HeadLimits, Known, RequestHead, ResponseFraming, ResponseHead, Scan,
    Version,
};

/// The edge's defaults.
pub const LIMITS: HeadLimits = HeadLimits { size: 32 << 10, fields: 100, target: 8 << 10 };

/// The head at the start of `bytes` where it is taken, as it arrives `step` bytes at a time.
fn taken(bytes: &[u8], step: usize) -> Option<RequestHead> {
    let mut scan = Scan::default();
    let mut end = 0;
    while end < bytes.len() {
        end = (end + step).min(bytes.len());
        if let Some(length) = scan.end(&bytes[..end], LIMITS).ok()? {
            let mut head = RequestHead::default();
            head.read(&bytes[..length], LIMITS).ok()?;
            assert_eq!(head.length, length, "the scan and the parser see different ends");
            return Some(head);
        }
    }
    None
}

/// True where a request head at the start of `bytes` is taken.
pub fn takes(bytes: &[u8]) -> bool {
    taken(bytes, bytes.len().max(1)).is_some()
}

/// Request heads: taken or refused alike however they arrive; one that is taken reads the same to the simplest parser
/// there could be.
pub fn head(bytes: &[u8]) {
    let whole = taken(bytes, bytes.len().max(1));
    let steps = if bytes.len() <= 4096 { vec![1, 2, 7] } else { vec![1000] };
    for step in steps {
        let pieces = taken(bytes, step).map(|head| head.length);
        assert_eq!(whole.as_ref().map(|head| head.length), pieces, "by {step}");
    }
    if let Some(head) = whole {
        reads_plainly(&head, &bytes[..head.length]);
    }
}

fn reads_plainly(head: &RequestHead, bytes: &[u8]) {
    assert!(bytes.len() <= LIMITS.size);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'\n' => assert!(0 < at && bytes[at - 1] == b'\r', "a line feed alone"),
            b'\r' => assert_eq!(bytes.get(at + 1), Some(&b'\n'), "a carriage return alone"),
            b'\t' | b' '..=b'~' | 0x80.. => {}
            _ => panic!("a control character"),
        }
    }
    let view = head.view(bytes);
    let mut lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let line = lines.by_ref().find(|line| !line.is_empty()).unwrap();
    let words: Vec<_> = line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = words.as_slice() else { panic!("{} words", words.len()) };
    assert!(!method.is_empty() && !method.contains(&b'\t'));
    assert!(!target.is_empty() && target.len() <= LIMITS.target && !target.contains(&b'\t') && !target.contains(&b'#'));
    assert_eq!((view.method().as_bytes(), view.target()), (*method, *target));
    assert_eq!(*version, if head.version == Version::Http11 { b"HTTP/1.1" } else { b"HTTP/1.0" });

    let mut fields = Vec::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        assert!(!matches!(line[0], b' ' | b'\t'), "a folded line");
        let colon = line.iter().position(|byte| *byte == b':').unwrap();
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        assert!(!name.is_empty() && name.iter().all(u8::is_ascii_graphic), "a name that is none");
        fields.push((name, value));
    }
    assert!(fields.len() <= LIMITS.fields);
    let seen: Vec<_> = view.fields().map(|(_, name, value)| (name, value.trim_ascii())).collect();
    assert_eq!(seen, fields);

    let every = |wanted: &[u8]| -> Vec<&[u8]> {
        fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| *value).collect()
    };
    let framing = match (every(b"content-length").as_slice(), every(b"transfer-encoding").as_slice()) {
        ([], []) => Framing::None,
        ([length], []) => {
            assert!(!length.is_empty() && length.iter().all(u8::is_ascii_digit), "a length that is none");
            let length = std::str::from_utf8(length).unwrap().parse().unwrap();
            if length == 0 { Framing::None } else { Framing::Length(length) }
        }
        ([], [coding]) => {
            assert!(coding.eq_ignore_ascii_case(b"chunked") && head.version == Version::Http11);
            Framing::Chunked
        }
        (lengths, codings) => panic!("{} lengths and {} codings", lengths.len(), codings.len()),
    };
    assert_eq!(head.framing, framing);

    let hosts = every(b"host");
    assert!(hosts.len() == 1 || (hosts.is_empty() && head.version == Version::Http10), "{} hosts", hosts.len());
    if let [host] = hosts.as_slice() {
        assert!(view.host().as_bytes().eq_ignore_ascii_case(host), "another host");
    }
    assert!(!view.host().contains(['@', '/', ' ', '\t']));
    let path = view.path_and_query();
    assert!(path.starts_with(b"/") || (path == b"*" && *method == b"OPTIONS"), "a target that is no path");
    assert!(target.ends_with(path));
}

/// Requests of HTTP/2: what is taken reads the same as a request of HTTP/1.1, in which form it goes on. The first line of
/// `bytes` is a method and a target, each further one a header.
pub fn translation(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut words = lines.next().unwrap_or_default().splitn(3, |byte| *byte == b' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut request = http::Request::builder().method(method).uri(target);
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        request = request.header(&line[..colon], line[colon + 1..].trim_ascii());
    }
    let Ok(request) = request.body(()) else { return };
    let (parts, ()) = request.into_parts();
    for has_body in [false, true] {
        let (mut head, mut written) = (RequestHead::default(), Vec::new());
        if head.translate(&mut written, &parts, has_body, LIMITS).is_ok() {
            reads_as_http1(&head, &written, has_body);
        }
    }
}

fn reads_as_http1(head: &RequestHead, written: &[u8], has_body: bool) {
    let view = head.view(written);
    let mut text = [view.method().as_bytes(), b" ", view.path_and_query(), b" HTTP/1.1\r\n"].concat();
    for (known, name, value) in view.fields() {
        // As the relay: a name with `_` could be taken for another, and framing is its own.
        if !matches!(known, Known::Ambiguous | Known::ContentLength | Known::Te) {
            text.extend_from_slice(&[name, b": ", value, b"\r\n"].concat());
        }
    }
    match head.framing {
        Framing::None => {}
        Framing::Length(length) => text.extend_from_slice(format!("content-length: {length}\r\n").as_bytes()),
        Framing::Chunked => text.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    text.extend_from_slice(b"\r\n");
    assert_eq!(head.framing != Framing::None, has_body);
    let mut again = RequestHead::default();
    // `:authority` and the framing become headers.
    let limits = HeadLimits { size: 2 * LIMITS.size, fields: LIMITS.fields + 2, ..LIMITS };
    let read = again.read(&text, limits);
    assert_eq!(read, Ok(()), "{}", text.escape_ascii());
    let other = again.view(&text);
    assert_eq!((view.method(), view.host(), view.path()), (other.method(), other.host(), other.path()));
    assert_eq!((view.query(), head.framing), (other.query(), again.framing));
}

/// What became of a chunked body.
#[derive(Debug, PartialEq, Eq)]
enum Body {
    Whole { out: Vec<u8>, read: usize },
    Unfinished { out: Vec<u8> },
    Refused,
}

fn rewritten(body: &[u8], form: ChunkedForm, step: usize) -> Body {
    let mut chunked = Chunked::new(form);
    let (mut out, mut read) = (Vec::new(), 0);
    for piece in body.chunks(step.max(1)) {
        let mut piece = piece.to_vec();
        let told: Result<_, BadChunk> = chunked.rewrite(&mut piece);
        let Ok(told) = told else { return Body::Refused };
        assert!(told.written <= told.read && told.read <= piece.len());
        out.extend_from_slice(&piece[..told.written]);
        read += told.read;
        if chunked.is_done() {
            if form == ChunkedForm::Chunks {
                out.extend_from_slice(chunked.ending());
            }
            return Body::Whole { out, read };
        }
        assert_eq!(told.read, piece.len(), "bytes are left although more is wanted");
    }
    Body::Unfinished { out }
}

/// The data of a body in its plainest form, by the simplest decoder there could be.
fn decoded(mut plain: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    loop {
        let end = plain.windows(2).position(|window| window == b"\r\n").unwrap();
        let size = std::str::from_utf8(&plain[..end]).unwrap();
        assert!(!size.starts_with('0') || size == "0", "leading zeros");
        let size = usize::from_str_radix(size, 16).unwrap();
        plain = &plain[end + 2..];
        if size == 0 {
            assert!(plain.ends_with(b"\r\n"));
            return data;
        }
        data.extend_from_slice(&plain[..size]);
        assert_eq!(&plain[size..size + 2], b"\r\n");
        plain = &plain[size + 2..];
    }
}

/// Chunked bodies and answer heads: alike however they are cut. The first byte is the size of the pieces.
pub fn framing(bytes: &[u8]) {
    let Some((step, bytes)) = bytes.split_first() else { return };
    let step = usize::from(*step).max(1);
    let whole = rewritten(bytes, ChunkedForm::Chunks, bytes.len());
    assert_eq!(whole, rewritten(bytes, ChunkedForm::Chunks, step), "by {step}");
    let data = rewritten(bytes, ChunkedForm::Data, step);
    match (&whole, &data) {
        (Body::Whole { out, read }, Body::Whole { out: data, read: also }) => {
            assert_eq!(read, also);
            assert_eq!(&decoded(out), data);
            // What is plain stays as it is.
            let again = rewritten(out, ChunkedForm::Chunks, step);
            assert_eq!(again, Body::Whole { out: out.clone(), read: out.len() });
        }
        (Body::Unfinished { .. }, Body::Unfinished { .. }) | (Body::Refused, Body::Refused) => {}
        other => panic!("the two forms differ: {other:?}"),
    }
    for to_head in [false, true] {
        answer(bytes, to_head);
    }
}

fn answer(bytes: &[u8], to_head: bool) {
    let mut head = ResponseHead::default();
    let Ok(true) = head.read(bytes, to_head) else { return };
    assert!(head.length <= bytes.len() && 100 <= head.status && head.status <= 999);
    let length = head.length;
    let mut half = ResponseHead::default();
    for end in (0..length).step_by(if length < 1024 { 1 } else { 97 }) {
        assert_ne!(half.read(&bytes[..end], to_head), Ok(true), "half a head is taken for whole");
    }
    let view = head.view(bytes);
    let every = |wanted: &[u8]| view.fields().filter(|(_, name, _)| name.eq_ignore_ascii_case(wanted)).count();
    let chunked = every(b"transfer-encoding") != 0;
    assert!(!(chunked && every(b"content-length") != 0), "a length and chunks");
    let bodyless = to_head || matches!(head.status, 100..=199 | 204 | 304);
    match head.framing {
        ResponseFraming::None => assert!(bodyless),
        ResponseFraming::Chunked => assert!(chunked && !bodyless),
        ResponseFraming::Length(_) => assert!(every(b"content-length") != 0 && !bodyless),
        ResponseFraming::UntilClose => assert!(!chunked && !bodyless && !head.keep_alive),
    }
}
