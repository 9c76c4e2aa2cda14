//! What the backend is told about the client: `X-Forwarded-*`, `X-Real-IP`, `X-Request-Id`.
//!
//! A client's own claims are dropped unless it is a trusted proxy, as nginx's `realip` module does.

use std::net::IpAddr;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// What the connection says about the client.
#[derive(Debug, Clone, Copy)]
pub struct ClientFacts<'a> {
    /// Address at the other end of the connection.
    pub address: IpAddr,
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
    pub fn client_address(&self, facts: &ClientFacts<'_>, request: &HeaderMap) -> IpAddr {
        let own = facts.address.to_canonical();
        if !self.trusts(own) {
            return own;
        }
        let fields: Vec<&str> = request.get_all(FORWARDED_FOR).iter().filter_map(|field| field.to_str().ok()).collect();
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
    pub fn apply(&self, facts: &ClientFacts<'_>, request: &HeaderMap, set: &mut impl FnMut(HeaderName, HeaderValue)) {
        let trusted = self.trusts(facts.address);
        let own = facts.address.to_canonical().to_string();
        let claimed = |name: &HeaderName| request.get(name).filter(|_| trusted).cloned();
        let chain = request.get_all(FORWARDED_FOR).iter().filter_map(|field| field.to_str().ok()).filter(|_| trusted);
        let chain: Vec<&str> = chain.chain([own.as_str()]).collect();
        let text = |text: &str| HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""));
        set(FORWARDED_FOR, text(&chain.join(", ")));
        let real = self.client_address(facts, request).to_string();
        set(REAL_IP, text(&real));
        set(FORWARDED_PROTO, claimed(&FORWARDED_PROTO).unwrap_or_else(|| HeaderValue::from_static(facts.scheme)));
        set(FORWARDED_HOST, claimed(&FORWARDED_HOST).unwrap_or_else(|| text(facts.host)));
    }

    /// Fields that only proxies set: those of a client that is not trusted are removed.
    pub fn owned() -> [HeaderName; 2] {
        [HeaderName::from_static("forwarded"), FORWARDED_PORT]
    }
}

/// True for a request id that may be taken over from a client: 1 to 128 letters, digits, `-`, `_`, `.`.
pub fn is_request_id(text: &[u8]) -> bool {
    (1..=128).contains(&text.len()) && text.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(trusted: &[&str], address: &str, request: &[(&'static str, &'static str)]) -> Vec<(String, String)> {
        let forwarding = Forwarding::new(trusted.iter().map(|net| net.parse().unwrap()).collect());
        let request: HeaderMap =
            request.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect();
        let facts = ClientFacts { address: address.parse().unwrap(), scheme: "http", host: "app.test" };
        let mut fields = Vec::new();
        forwarding.apply(&facts, &request, &mut |name, value| {
            fields.push((name.to_string(), value.to_str().unwrap().to_owned()));
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
