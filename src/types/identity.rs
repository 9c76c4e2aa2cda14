//! The name of a field that says who a client is.

use http::HeaderName;

/// A request field that the edge takes from the auth upstream's answer, and never from a client.
///
/// It is a token (RFC 9110, section 5.6.2), frames neither the request nor its connection, and is none that the edge
/// sets itself. `_` is not allowed in it: WSGI and CGI read `X_User` as `X-User`, so that a client could forge the one by
/// the other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdentityField(HeaderName);

/// Why a text is not an [`IdentityField`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdentity {
    /// It is no token.
    #[error("`{0}` is not a header name; write names such as `X-User-Id`")]
    NotToken(String),
    /// It has a `_`.
    #[error("`{0}` contains `_`, which many servers read as `-`; write `{meant}`", meant = .0.replace('_', "-"))]
    Ambiguous(String),
    /// It belongs to the connection, the body or the choice of a route.
    #[error(
        "`{0}` is part of how a request is sent and cannot be copied from a response; remove it, or choose another name"
    )]
    Framing(String),
    /// The edge sets it.
    #[error("`{0}` is set by the edge itself; remove it, or choose another name")]
    Edges(String),
}

/// Fields of one connection (RFC 9110, section 7.6.1, and what is treated alike), and those that decide how a request is
/// read. So are all that begin with `content-`.
const FRAMING: [&str; 12] = [
    "connection",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Fields the edge sets for backends, or removes. Others that begin with `x-forwarded-`, such as `X-Forwarded-User`, are
/// what some auth services call a client.
const EDGES: [&str; 7] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
];

/// True for a field that says how one message is sent, in any case: it is its connection's or its body's (RFC 9110, section
/// 7.6.1), or decides where it goes.
pub fn is_framing(name: &[u8]) -> bool {
    name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"content-"))
        || FRAMING.iter().any(|framing| name.eq_ignore_ascii_case(framing.as_bytes()))
}

impl IdentityField {
    /// Parses a name; letters are folded to lower case, as names of fields have no case.
    ///
    /// # Errors
    /// When it is no token, or a name that the auth upstream has no say in.
    pub fn parse(text: &str) -> Result<Self, InvalidIdentity> {
        // `HeaderName` takes a few bytes that are in no token.
        let is_token = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
        let name = HeaderName::from_bytes(text.as_bytes()).ok().filter(|_| is_token && text != "*");
        let Some(name) = name else { return Err(InvalidIdentity::NotToken(text.into())) };
        let lower = name.as_str();
        if lower.contains('_') {
            return Err(InvalidIdentity::Ambiguous(text.into()));
        }
        if is_framing(lower.as_bytes()) {
            return Err(InvalidIdentity::Framing(text.into()));
        }
        if EDGES.contains(&lower) {
            return Err(InvalidIdentity::Edges(text.into()));
        }
        Ok(Self(name))
    }

    /// True for a header of this name, in any case.
    pub fn is(&self, name: &[u8]) -> bool {
        self.0.as_str().as_bytes().eq_ignore_ascii_case(name)
    }

    /// The name, in lower case.
    pub fn name(&self) -> &HeaderName {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_say_who_a_client_is_are_told_from_those_that_do_not() {
        let (token, ambiguous) = (InvalidIdentity::NotToken, InvalidIdentity::Ambiguous);
        let (framing, edges) = (InvalidIdentity::Framing, InvalidIdentity::Edges);
        type Why = Option<fn(String) -> InvalidIdentity>;
        #[rustfmt::skip]
        let rows: [(&str, Why); 23] = [
            ("X-User-Id",         None),
            ("x.user.id",         None),
            ("Authorization",     None),
            ("Cookie",            None),
            ("X-Forwarded-User",  None),
            ("",                  Some(token)),
            ("*",                 Some(token)),
            ("X User",            Some(token)),
            ("X-User:",           Some(token)),
            ("X-\"User\"",        Some(token)),
            ("X-Üser",            Some(token)),
            ("X-User\r\nX-Admin", Some(token)),
            ("X_User_Id",         Some(ambiguous)),
            ("Host",              Some(framing)),
            ("CONTENT-LENGTH",    Some(framing)),
            ("Content-Type",      Some(framing)),
            ("Transfer-Encoding", Some(framing)),
            ("Connection",        Some(framing)),
            ("Keep-Alive",        Some(framing)),
            ("TE",                Some(framing)),
            ("X-Forwarded-For",   Some(edges)),
            ("X-Request-Id",      Some(edges)),
            ("X-Real-IP",         Some(edges)),
        ];
        for (text, why) in rows {
            let found = IdentityField::parse(text);
            match why {
                None => assert_eq!(found.unwrap().name().as_str(), text.to_ascii_lowercase()),
                Some(why) => assert_eq!(found, Err(why(text.to_owned())), "{text}"),
            }
        }
    }

    #[test]
    fn the_other_spelling_is_told() {
        let told = IdentityField::parse("X_User_Id").unwrap_err().to_string();
        assert!(told.ends_with("; write `X-User-Id`"), "{told}");
    }
}
