//! What the backend is told about the client: `X-Forwarded-*`, `X-Real-IP`, `X-Request-Id`.
//!
//! A client's own claims are dropped unless it is a trusted proxy, as nginx's `realip` module does.

use std::net::IpAddr;

use http::header::HeaderName;
use ipnet::IpNet;

use crate::http1::Fields;

static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
static REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// What the connection says about the client.
#[derive(Debug, Clone, Copy)]
pub struct ClientFacts<'a> {
    /// Address at the other end of the connection.
    pub address: IpAddr,
    /// The same as text, IPv4 where it is IPv4 in IPv6's form.
    pub text: &'a str,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The `Host` the client asked for.
    pub host: &'a str,
}

/// The rule for a site.
#[derive(Debug, Clone, Default)]
pub struct Forwarding {
    trusted: Vec<IpNet>,
}

impl Forwarding {
    /// Believes the fields of clients in these networks.
    pub fn new(trusted: Vec<IpNet>) -> Self {
        Self { trusted }
    }

    /// True for a proxy in front whose fields are believed.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|net| net.contains(&address))
    }

    /// The client's own address: the last in `X-Forwarded-For` that is no trusted proxy, where one reports it.
    pub fn client_address(&self, facts: &ClientFacts<'_>, request: &impl Fields) -> IpAddr {
        let own = facts.address.to_canonical();
        if !self.trusts(own) {
            return own;
        }
        let fields: Vec<&str> =
            request.every(&FORWARDED_FOR).filter_map(|field| std::str::from_utf8(field).ok()).collect();
        let claimed = fields.iter().flat_map(|field| field.split(',')).map(|text| text.trim().parse::<IpAddr>());
        let mut client = own;
        for address in claimed.collect::<Vec<_>>().into_iter().rev() {
            let Ok(address) = address else { break };
            client = address;
            if !self.trusts(address) {
                break;
            }
        }
        client
    }

    /// Sets the fields on the request for the backend, given the request of the client.
    pub fn apply(&self, facts: &ClientFacts<'_>, request: &impl Fields, set: &mut impl FnMut(&HeaderName, &[u8])) {
        let own = facts.text.as_bytes();
        if !self.trusts(facts.address) {
            set(&FORWARDED_FOR, own);
            set(&REAL_IP, own);
            set(&FORWARDED_PROTO, facts.scheme.as_bytes());
            set(&FORWARDED_HOST, facts.host.as_bytes());
            return;
        }
        let chain: Vec<&[u8]> = request.every(&FORWARDED_FOR).chain([own]).collect();
        set(&FORWARDED_FOR, &chain.join(&b", "[..]));
        set(&REAL_IP, self.client_address(facts, request).to_string().as_bytes());
        set(&FORWARDED_PROTO, request.first(&FORWARDED_PROTO).unwrap_or(facts.scheme.as_bytes()));
        set(&FORWARDED_HOST, request.first(&FORWARDED_HOST).unwrap_or(facts.host.as_bytes()));
    }

    /// Fields that only proxies set: those of a client that is not trusted are removed.
    pub fn owned() -> [HeaderName; 2] {
        [HeaderName::from_static("forwarded"), FORWARDED_PORT.clone()]
    }
}

/// True for a request id that may be taken over from a client: 1 to 128 letters, digits, `-`, `_`, `.`.
pub fn is_request_id(text: &[u8]) -> bool {
    (1..=128).contains(&text.len()) && text.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use http::header::{HeaderMap, HeaderValue};

    use super::*;

    fn applied(trusted: &[&str], address: &str, request: &[(&'static str, &'static str)]) -> Vec<(String, String)> {
        let forwarding = Forwarding::new(trusted.iter().map(|net| net.parse().unwrap()).collect());
        let request: HeaderMap =
            request.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect();
        let address: IpAddr = address.parse().unwrap();
        let text = address.to_canonical().to_string();
        let facts = ClientFacts { address, text: &text, scheme: "http", host: "app.test" };
        let mut fields = Vec::new();
        forwarding.apply(&facts, &request, &mut |name, value| {
            fields.push((name.to_string(), String::from_utf8(value.to_vec()).unwrap()));
        });
        fields
    }

    fn field(fields: &[(String, String)], name: &str) -> String {
        fields.iter().find(|(n, _)| n == name).unwrap().1.clone()
    }

    #[test]
    fn a_clients_own_claims_are_dropped() {
        let claims = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "evil")];
        let fields = applied(&[], "10.0.0.9", &claims);
        assert_eq!(field(&fields, "x-forwarded-for"), "10.0.0.9");
        assert_eq!(field(&fields, "x-real-ip"), "10.0.0.9");
        assert_eq!(field(&fields, "x-forwarded-proto"), "http");
        assert_eq!(field(&fields, "x-forwarded-host"), "app.test");
    }

    #[test]
    fn a_trusted_proxys_claims_are_kept_and_added_to() {
        let claims = [("x-forwarded-for", "6.6.6.6, 1.2.3.4, 10.0.0.7"), ("x-forwarded-proto", "https")];
        let fields = applied(&["10.0.0.0/8"], "::ffff:10.0.0.9", &claims);
        assert_eq!(field(&fields, "x-forwarded-for"), "6.6.6.6, 1.2.3.4, 10.0.0.7, 10.0.0.9");
        assert_eq!(field(&fields, "x-real-ip"), "1.2.3.4");
        assert_eq!(field(&fields, "x-forwarded-proto"), "https");
    }

    #[test]
    fn request_ids_are_short_and_plain() {
        assert!(is_request_id(b"a-B_1.2"));
        for text in [&b""[..], b"a b", b"a\n", b"<x>", &[b'a'; 129]] {
            assert!(!is_request_id(text));
        }
    }
}
