//! Cross-origin resource sharing (Fetch standard, section 3.2): preflights are answered here, and the backend's own
//! CORS fields are replaced, on errors too.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

use crate::config::model::{CorsSpec, Origins};
use crate::http1::Fields;

/// Fields that only the edge sets where CORS is on.
static OWNED: [HeaderName; 6] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
];

/// A route's CORS, with every value formatted when the snapshot is built.
#[derive(Debug, Clone)]
pub struct Cors {
    origins: Option<Vec<HeaderValue>>,
    credentials: bool,
    methods: HeaderValue,
    headers: Option<HeaderValue>,
    expose: Option<HeaderValue>,
    max_age: HeaderValue,
}

/// The answer to a preflight.
#[derive(Debug, Clone, PartialEq)]
pub struct Preflight {
    /// 204, or 403 where the origin is not among those listed.
    pub status: StatusCode,
    /// Every field of the answer but its framing.
    pub headers: HeaderMap,
}

impl Cors {
    /// Formats a spec.
    pub fn new(spec: &CorsSpec) -> Self {
        let (origins, credentials) = match &spec.origins {
            Origins::Any => (None, false),
            Origins::Listed { origins, credentials } => {
                let values = origins.iter().filter_map(|origin| HeaderValue::from_str(origin.as_str()).ok());
                (Some(values.collect()), *credentials)
            }
        };
        let expose = (!spec.expose.is_empty()).then(|| list(spec.expose.iter().map(HeaderName::as_str)));
        Self {
            origins,
            credentials,
            methods: list(spec.methods.iter().map(Method::as_str)),
            headers: spec.headers.as_ref().map(|names| list(names.iter().map(HeaderName::as_str))),
            expose,
            max_age: HeaderValue::from(spec.max_age.as_secs()),
        }
    }

    /// The answer, where the request is a preflight.
    pub fn preflight(&self, method: &str, request: &impl Fields) -> Option<Preflight> {
        let asked = request.first(&header::ACCESS_CONTROL_REQUEST_METHOD).is_some();
        let origin = request.first(&header::ORIGIN).filter(|_| method == "OPTIONS" && asked)?;
        let mut headers = HeaderMap::new();
        let vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
        headers.insert(header::VARY, HeaderValue::from_static(vary));
        let Some(allowed) = self.allowed(Some(origin)) else {
            return Some(Preflight { status: StatusCode::FORBIDDEN, headers });
        };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        if self.credentials {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        let asked_headers = request.first(&header::ACCESS_CONTROL_REQUEST_HEADERS);
        let asked_headers = asked_headers.and_then(|names| HeaderValue::from_bytes(names).ok());
        if let Some(names) = self.headers.clone().or(asked_headers) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
        }
        Some(Preflight { status: StatusCode::NO_CONTENT, headers })
    }

    /// The fields to set on an answer, and whether it varies by origin; everything in [`Cors::owned`] goes first.
    pub fn edits(&self, origin: Option<&[u8]>) -> Vec<(HeaderName, HeaderValue)> {
        let mut edits = Vec::with_capacity(4);
        if self.origins.is_some() {
            edits.push((header::VARY, HeaderValue::from_static("Origin")));
        }
        let Some(allowed) = self.allowed(origin) else { return edits };
        edits.push((header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed));
        if self.credentials {
            edits.push((header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")));
        }
        if let Some(expose) = &self.expose {
            edits.push((header::ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone()));
        }
        edits
    }

    /// True where a value of `Vary` covers the origin already (RFC 9110, section 12.5.5).
    pub fn covers_origin(vary: &[u8]) -> bool {
        let mut names = vary.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        names.any(|name| name == b"*" || name.eq_ignore_ascii_case(b"origin"))
    }

    /// Fields a backend may not set where CORS is on.
    pub fn owned() -> &'static [HeaderName] {
        &OWNED
    }

    /// True for a field a backend may not set where CORS is on.
    pub fn owns(name: &[u8]) -> bool {
        OWNED.iter().any(|owned| owned.as_str().as_bytes().eq_ignore_ascii_case(name))
    }

    fn allowed(&self, origin: Option<&[u8]>) -> Option<HeaderValue> {
        match &self.origins {
            // Always: what a cache keeps from a request without an origin is then good for one with.
            None => Some(HeaderValue::from_static("*")),
            Some(listed) => listed.iter().find(|listed| origin == Some(listed.as_bytes())).cloned(),
        }
    }
}

fn list<'a>(values: impl Iterator<Item = &'a str>) -> HeaderValue {
    let joined = values.collect::<Vec<_>>().join(", ");
    HeaderValue::from_str(&joined).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::types::Origin;

    fn cors(origins: &[&str], credentials: bool) -> Cors {
        let origins = match origins {
            ["*"] => Origins::Any,
            listed => {
                Origins::Listed { origins: listed.iter().map(|o| Origin::parse(o).unwrap()).collect(), credentials }
            }
        };
        Cors::new(&CorsSpec {
            origins,
            methods: vec![Method::GET, Method::POST],
            headers: None,
            expose: vec![HeaderName::from_static("x-total")],
            max_age: Duration::from_secs(600),
        })
    }

    fn request(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn a_preflight_is_answered_here() {
        let asked = request(&[
            ("origin", "https://app.test"),
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "x-a, x-b"),
        ]);
        let answer = cors(&["https://app.test"], true).preflight("OPTIONS", &asked).unwrap();
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        assert_eq!(answer.headers["access-control-allow-origin"], "https://app.test");
        assert_eq!(answer.headers["access-control-allow-methods"], "GET, POST");
        assert_eq!(answer.headers["access-control-allow-headers"], "x-a, x-b");
        assert_eq!(answer.headers["access-control-allow-credentials"], "true");
        assert_eq!(answer.headers["access-control-max-age"], "600");
    }

    #[test]
    fn only_listed_origins_pass() {
        let cors = cors(&["https://app.test"], true);
        for origin in ["https://evil.test", "null", "https://app.test.evil", "https://app.test:444", "http://app.test"]
        {
            let asked = request(&[("origin", origin), ("access-control-request-method", "GET")]);
            let answer = cors.preflight("OPTIONS", &asked).unwrap();
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{origin}");
            assert!(!answer.headers.contains_key("access-control-allow-origin"));
            let edits = cors.edits(Some(origin.as_bytes()));
            assert_eq!(edits, [(header::VARY, HeaderValue::from_static("Origin"))]);
        }
    }

    #[test]
    fn any_origin_never_gets_credentials_and_does_not_vary() {
        let edits = cors(&["*"], true).edits(Some(b"https://x.test"));
        let names: Vec<_> = edits.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["access-control-allow-origin", "access-control-expose-headers"]);
        assert_eq!(edits[0].1, "*");
    }

    #[test]
    fn an_options_request_that_is_no_preflight_goes_to_the_backend() {
        let cors = cors(&["*"], false);
        assert_eq!(cors.preflight("OPTIONS", &request(&[("origin", "https://a.test")])), None);
        assert_eq!(cors.preflight("OPTIONS", &request(&[("access-control-request-method", "GET")])), None);
        let asked = request(&[("origin", "https://a.test"), ("access-control-request-method", "GET")]);
        assert_eq!(cors.preflight("GET", &asked), None);
    }

    #[test]
    fn what_varies_by_origin_already_is_seen() {
        for (vary, covers) in
            [("Origin", true), ("accept, ORIGIN", true), ("*", true), ("Accept", false), ("X-Origin", false)]
        {
            assert_eq!(Cors::covers_origin(vary.as_bytes()), covers, "{vary}");
        }
    }
}
