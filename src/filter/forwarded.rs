//! What the backend is told about the client: `X-Forwarded-*`, `X-Real-IP`, `X-Request-Id`.
//!
//! A client's own claims are dropped unless it is a trusted proxy, as nginx's `realip` module does.

use std::net::{IpAddr, SocketAddr};

use http::header::HeaderName;
use ipnet::IpNet;

use crate::http1::Fields;

static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
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
        let fields: Vec<&[u8]> = request.every(&FORWARDED_FOR).collect();
        let elements = fields.iter().rev().flat_map(|field| field.rsplit(|&byte| byte == b','));
        let mut client = own;
        for element in elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty()) {
            let Some(address) = address_of(element) else { break };
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
}

/// The address in one element of `X-Forwarded-For`, as nginx's `realip` reads it: with a port or without, IPv6 in brackets where
/// there is one.
fn address_of(element: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(element).ok()?;
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    Some(text.parse().ok().or_else(with_port).or_else(in_brackets)?.to_canonical())
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
    fn an_address_is_understood_however_a_trusted_proxy_writes_it() {
        #[rustfmt::skip]
        let rows = [
            ("203.0.113.7",                            "203.0.113.7"),
            ("203.0.113.7:51008",                      "203.0.113.7"),
            ("203.0.113.7:51008, 10.0.0.6:80",         "203.0.113.7"),
            ("6.6.6.6, 203.0.113.7:51008,10.0.0.6",    "203.0.113.7"),
            ("2001:db8::1",                            "2001:db8::1"),
            ("[2001:db8::1]",                          "2001:db8::1"),
            ("[2001:db8::1]:443",                      "2001:db8::1"),
            ("::ffff:203.0.113.7",                     "203.0.113.7"),
            ("[::ffff:203.0.113.7]:1",                 "203.0.113.7"),
            ("[fe80::1%3]:443",                        "fe80::1"),
            (" \t203.0.113.7 \t, ",                    "203.0.113.7"),
            ("203.0.113.7,,",                          "203.0.113.7"),
            (",, ,203.0.113.7, , 10.0.0.6,",           "203.0.113.7"),
            ("",                                       "10.0.0.9"),
            (",",                                      "10.0.0.9"),
            ("unknown",                                "10.0.0.9"),
            ("203.0.113.7, unknown, 10.0.0.6",         "10.0.0.6"), // nobody trusted vouches for what is before it
            ("203.0.113.7:99999",                      "10.0.0.9"),
            ("203.0.113.7:",                           "10.0.0.9"),
            ("[203.0.113.7",                           "10.0.0.9"),
            ("10.0.0.5:1, 10.0.0.6",                   "10.0.0.5"),
        ];
        for (sent, client) in rows {
            let fields = applied(&["10.0.0.0/8"], "10.0.0.9", &[("x-forwarded-for", sent)]);
            assert_eq!(field(&fields, "x-real-ip"), client, "{sent}");
        }
    }

    #[test]
    fn fields_that_are_not_text_end_the_search_and_hide_nothing() {
        let forwarding = Forwarding::new(vec!["10.0.0.0/8".parse().unwrap()]);
        let mut request = HeaderMap::new();
        for value in [&b"6.6.6.6"[..], b"\xff, 203.0.113.7, 10.0.0.6", b"10.0.0.5"] {
            request.append(&FORWARDED_FOR, HeaderValue::from_bytes(value).unwrap());
        }
        let facts = ClientFacts { address: "10.0.0.9".parse().unwrap(), text: "10.0.0.9", scheme: "http", host: "" };
        assert_eq!(forwarding.client_address(&facts, &request).to_string(), "203.0.113.7");
    }

    #[test]
    fn request_ids_are_short_and_plain() {
        assert!(is_request_id(b"a-B_1.2"));
        for text in [&b""[..], b"a b", b"a\n", b"<x>", &[b'a'; 129]] {
            assert!(!is_request_id(text));
        }
    }
}
