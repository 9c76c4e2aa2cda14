//! A request that came in HTTP/2, brought into the form that one in HTTP/1.1 has, so that everything behind reads one form
//! alone (RFC 9113, section 8.3). Framing and the coding of headers were checked before: here only what a request says.

use http::header::HeaderName;
use http::request::Parts;
use http::uri::Authority;
use http::{StatusCode, header};

use super::check::{body_length, check_method, is_host};
use super::fields::{Field, Known, Span};
use super::request::{Framing, RequestHead, Version};
use super::scan::{BadHead, HeadLimits, TOO_LONG, TOO_MANY};

impl RequestHead {
    /// Writes a request to `bytes`, and what was understood of it here. `has_body` says that more than the head comes.
    ///
    /// # Errors
    /// When it says something that a request in HTTP/1.1 would be refused for.
    pub fn translate(
        &mut self,
        bytes: &mut Vec<u8>,
        parts: &Parts,
        has_body: bool,
        limits: HeadLimits,
    ) -> Result<(), BadHead> {
        bytes.clear();
        self.fields.clear();
        self.authority = Span::default();
        self.version = Version::Http2;
        self.keep_alive = true;
        self.is_websocket = false;
        self.nominates = false;
        self.method = put(bytes, parts.method.as_str().as_bytes());
        let target = parts.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
        self.target = put(bytes, target.as_bytes());
        self.path_and_query = self.target;
        if limits.target < target.len() {
            return Err(TOO_LONG);
        }
        check_method(parts.method.as_str())?;
        let is_asterisk = target == "*" && parts.method == http::Method::OPTIONS;
        if !(target.starts_with('/') || is_asterisk) {
            return Err(BadHead::bad("the request target is not a path"));
        }
        if limits.fields < parts.headers.len() {
            return Err(TOO_MANY);
        }
        self.take_host(bytes, parts)?;
        let mut length = None;
        let mut expects = false;
        for (name, value) in &parts.headers {
            let known = Known::of(name.as_str().as_bytes());
            match known {
                Known::Host => continue,
                Known::ContentLength if length.is_some() => return Err(BadHead::bad("Content-Length is given twice")),
                Known::ContentLength => length = Some(body_length(value.as_bytes())?),
                Known::Expect => expects |= value.as_bytes().eq_ignore_ascii_case(b"100-continue"),
                known if known.is_hop_by_hop() && known != Known::Te => {
                    return Err(BadHead::bad("connection-specific headers are not allowed in HTTP/2"));
                }
                // Its crumbs become one below.
                Known::Other if *name == header::COOKIE => continue,
                _ => {}
            }
            self.push(bytes, name, known, value.as_bytes());
        }
        self.join_cookies(bytes, parts);
        self.framing = match length {
            Some(0) if has_body => return Err(BadHead::bad("the request has a body, but Content-Length is 0")),
            Some(0) => Framing::None,
            Some(length) if has_body => Framing::Length(length),
            Some(_) => return Err(BadHead::bad("the request has no body, but Content-Length is not 0")),
            None if has_body => Framing::Chunked,
            None => Framing::None,
        };
        self.expects_continue = expects && has_body;
        self.length = bytes.len();
        if limits.size < self.length {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Err(BadHead::with(status, "the request head is too large"));
        }
        Ok(())
    }

    /// `:authority`, or `Host` where there is none; where both are there they have to be equal (RFC 9113, section 8.3.1).
    fn take_host(&mut self, bytes: &mut Vec<u8>, parts: &Parts) -> Result<(), BadHead> {
        let mut hosts = parts.headers.get_all(header::HOST).iter().map(http::HeaderValue::as_bytes);
        let (host, second) = (hosts.next(), hosts.next());
        if second.is_some() {
            return Err(BadHead::bad("Host is given twice"));
        }
        let authority = parts.uri.authority().map(Authority::as_str).map(str::as_bytes);
        let value = match (authority, host) {
            (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
                return Err(BadHead::bad("Host and :authority differ"));
            }
            (Some(value), _) | (None, Some(value)) => value,
            (None, None) => return Err(BadHead::bad("the request has no host")),
        };
        if !is_host(value) {
            return Err(BadHead::bad("Host is not a valid host name"));
        }
        self.push(bytes, &header::HOST, Known::Host, value);
        self.authority = self.fields.last().map(|field| field.value).unwrap_or_default();
        Ok(())
    }

    /// Clients may split cookies into several headers; a service behind HTTP/1.1 must see one (RFC 9113, section 8.2.3).
    fn join_cookies(&mut self, bytes: &mut Vec<u8>, parts: &Parts) {
        let mut crumbs = parts.headers.get_all(header::COOKIE).iter().map(http::HeaderValue::as_bytes);
        let Some(first) = crumbs.next() else { return };
        let name = put(bytes, b"cookie");
        let start = bytes.len();
        bytes.extend_from_slice(first);
        for crumb in crumbs {
            bytes.extend_from_slice(b"; ");
            bytes.extend_from_slice(crumb);
        }
        self.fields.push(Field { name, value: Span::new(start, bytes.len()), known: Known::Other });
    }

    fn push(&mut self, bytes: &mut Vec<u8>, name: &HeaderName, known: Known, value: &[u8]) {
        let (name, value) = (put(bytes, name.as_str().as_bytes()), put(bytes, value));
        self.fields.push(Field { name, value, known });
    }
}

fn put(bytes: &mut Vec<u8>, part: &[u8]) -> Span {
    let start = bytes.len();
    bytes.extend_from_slice(part);
    Span::new(start, bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { size: 4096, fields: 10, target: 100 };

    fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_request_reads_as_one_of_http1() {
        let headers = [("cookie", "a=1"), ("accept", "*/*"), ("cookie", "b=2"), ("te", "trailers"), ("x_y", "1")];
        let (mut head, mut bytes) = (RequestHead::default(), Vec::new());
        let request = parts("POST", "https://App.test:8443/a%20b?c=d", &headers);
        head.translate(&mut bytes, &request, true, LIMITS).unwrap();
        let view = head.view(&bytes);
        assert_eq!((view.method(), view.host(), view.path()), ("POST", "App.test:8443", "/a%20b"));
        assert_eq!((view.target(), view.query()), (&b"/a%20b?c=d"[..], &b"?c=d"[..]));
        assert_eq!((head.version, head.framing, head.keep_alive), (Version::Http2, Framing::Chunked, true));
        let fields: Vec<_> = view.fields().map(|(known, name, value)| (known, name.to_vec(), value.to_vec())).collect();
        let expected = [
            (Known::Host, b"host".to_vec(), b"App.test:8443".to_vec()),
            (Known::Accept, b"accept".to_vec(), b"*/*".to_vec()),
            (Known::Te, b"te".to_vec(), b"trailers".to_vec()),
            (Known::Ambiguous, b"x_y".to_vec(), b"1".to_vec()),
            (Known::Other, b"cookie".to_vec(), b"a=1; b=2".to_vec()),
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn what_http1_refuses_is_refused() {
        let long = format!("https://a/{}", "x".repeat(100));
        let many: Vec<_> = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"].map(|name| (name, "1")).into();
        let large = "x".repeat(5000);
        #[rustfmt::skip]
        let rows: [(_, _, &[(&str, &str)], _, _); 16] = [
            // method    uri           headers                                       body   status
            ("GET",      "https://a/", &[],                                          false, 0),
            ("OPTIONS",  "https://a/", &[("host", "A")],                             false, 0),
            ("GET",      "/",          &[("host", "a")],                             false, 0),
            ("POST",     "https://a/", &[("content-length", "5")],                   true,  0),
            ("POST",     "https://a/", &[("content-length", "0")],                   false, 0),
            ("GET",      "/",          &[],                                          false, 400),
            ("GET",      "https://a/", &[("host", "b")],                             false, 400),
            ("GET",      "https://u@a/", &[],                                        false, 400),
            ("POST",     "https://a/", &[("content-length", "+5")],                  true,  400),
            ("POST",     "https://a/", &[("content-length", "5")],                   false, 400),
            ("POST",     "https://a/", &[("content-length", "5"), ("content-length", "5")], true, 400),
            ("GET",      "https://a/", &[("upgrade", "websocket")],                  false, 400),
            ("TRACE",    "https://a/", &[],                                          false, 405),
            ("GET",      &long,        &[],                                          false, 414),
            ("GET",      "https://a/", &many,                                        false, 431),
            ("GET",      "https://a/", &[("x", &large)],                             false, 431),
        ];
        for (method, uri, headers, has_body, status) in rows {
            let (mut head, mut bytes) = (RequestHead::default(), Vec::new());
            let result = head.translate(&mut bytes, &parts(method, uri, headers), has_body, LIMITS);
            let found = result.err().map_or(0, |bad| bad.status.as_u16());
            assert_eq!(found, status, "{method} {uri} {headers:?}");
        }
    }
}
