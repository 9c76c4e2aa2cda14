//! Which fields only a proxy in front may set. Their names alone; whom to believe is `filter`'s to say.

/// Names under which frameworks and proxies believe what a proxy says, beside all that begin with `X-Forwarded`: of the
/// client's address (Rails, Spring, Cloudflare, Akamai, Fastly, Azure, Envoy), of TLS (Rails, Werkzeug, IIS), of the certificate
/// it showed (Apache, RFC 9440), and of the path it asked for (IIS, Symfony), which would go past a route that asks.
const NAMES: [&str; 28] = [
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-pseudo-ipv4",
    "client-cert",
    "client-cert-chain",
    "client-ip",
    "fastly-client-ip",
    "forwarded",
    "forwarded-for",
    "front-end-https",
    "ssl-client-cert",
    "true-client-ip",
    "x-azure-clientip",
    "x-client-cert",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-original-for",
    "x-original-host",
    "x-original-method",
    "x-original-proto",
    "x-original-uri",
    "x-original-url",
    "x-real-port",
    "x-rewrite-url",
    "x-scheme",
    "x-ssl-client-cert",
    "x-url-scheme",
];

/// True for a field that says who the client is, what host and path it asked for, or whether by TLS: one that only a proxy in
/// front may set. Those of a client that is not trusted go no further.
pub fn is_of_proxy(name: &[u8]) -> bool {
    const PREFIX: &[u8] = b"x-forwarded";
    let (Some(first), Some(second)) = (name.first(), name.get(1)) else { return false };
    // Most names end here: few begin as these do.
    match (first.to_ascii_lowercase(), second.to_ascii_lowercase()) {
        (b'x', b'-') | (b'c', b'f' | b'l') | (b'f', b'a' | b'o' | b'r') | (b's', b's') | (b't', b'r') => {
            name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
                || NAMES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proxies_say_is_told_from_what_clients_say() {
        for name in
            NAMES.into_iter().chain(["X-Forwarded-Prefix", "x-forwarded-ssl", "X-FORWARDED", "x-forwarded-client-cert"])
        {
            assert!(is_of_proxy(name.as_bytes()), "{name}");
            assert!(is_of_proxy(name.to_ascii_uppercase().as_bytes()), "{name}");
        }
        for name in [
            "",
            "x",
            "x-",
            "x-forward",
            "cookie",
            "x-requested-with",
            "traceparent",
            "x-api-key",
            "cf-ray",
            "from",
            "te",
        ] {
            assert!(!is_of_proxy(name.as_bytes()), "{name}");
        }
    }
}
