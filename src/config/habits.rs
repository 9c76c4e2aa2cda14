//! What people write by habit from other edges, and what to tell them. One table of what is not there yet, which is also
//! README's: a feature that comes takes its row out of both.

use super::keys::keys_of;
use super::place::Place;
use super::problem::Problem;
use super::raw::{
    RawAccessLog, RawCheck, RawFile, RawHeal, RawLimits, RawListen, RawLog, RawRetry, RawRoute, RawServer, RawTimeouts,
    RawTls, RawUpstream,
};
use super::words::quoted;

/// Something that other edges do and Remora does not do yet.
#[derive(Debug)]
pub(super) struct Missing {
    /// As README calls it.
    pub what: &'static str,
    /// Keys by which it is tried, and in which maps.
    keys: &'static [(Beside, &'static [&'static str])],
    /// What to do today.
    instead: &'static str,
}

impl Missing {
    /// What to say to somebody who wrote `text` for it.
    pub(super) fn problem(&self, at: &Place, text: &str) -> Problem {
        Problem::new(at, format!("{} is not available yet ({})", quoted(text), self.what)).help(self.instead)
    }
}

/// The map in which a key is tried.
#[derive(Debug, Clone, Copy)]
enum Beside {
    Anything,
    AnythingButCheck,
    File,
    Upstream,
    Route,
    Check,
    Listener,
    AccessLog,
}

impl Beside {
    /// True for the map that knows these keys.
    fn is(self, known: &[&str]) -> bool {
        match self {
            Self::Anything => true,
            Self::AnythingButCheck => !Self::Check.is(known),
            Self::File => known.contains(&"upstreams"),
            Self::Upstream => known.contains(&"balance"),
            Self::Route => known.contains(&"strip"),
            Self::Check => known.contains(&"fall"),
            Self::Listener => known.contains(&"tls"),
            Self::AccessLog => known.contains(&"request_id"),
        }
    }
}

/// TLS and the like to backends, as a server's scheme asks for it.
const BACKEND_TLS: Missing = Missing {
    what: "TLS, HTTP/2 or gRPC to backends",
    keys: &[
        (Beside::Upstream, &["tls", "ssl", "https", "http2", "protocol", "scheme", "transport"]),
        (Beside::Anything, &["grpc", "grpc_pass", "h2c", "proxy_ssl", "insecure_skip_verify", "servers_transport"]),
    ],
    instead: "backends get cleartext HTTP/1.1: name a port where the service speaks it, on a private network",
};
const SOCKETS: Missing = Missing {
    what: "Unix sockets, FastCGI or uWSGI to backends",
    keys: &[(Beside::Anything, &["fastcgi", "fastcgi_pass", "uwsgi_pass", "scgi_pass", "unix"])],
    instead: "have the service listen for HTTP on a port: `gunicorn --bind 0.0.0.0:8000`, `uwsgi --http :8000`",
};
const MATCHES: Missing = Missing {
    what: "Exact, regular-expression or method matches in routes",
    keys: &[
        (Beside::Anything, &["regex", "exact", "match", "matches", "path_regex", "path_regexp", "priority"]),
        (Beside::AnythingButCheck, &["method", "methods"]),
    ],
    instead: "a route matches a host, `*.host` and a path on whole segments; let the application tell the rest apart",
};
const BALANCES: Missing = Missing {
    what: "Least connections, sticky sessions, hashing",
    keys: &[(
        Beside::Anything,
        &[
            "sticky",
            "sticky_sessions",
            "affinity",
            "session_affinity",
            "ip_hash",
            "hash",
            "least_conn",
            "least_connections",
            "p2c",
            "random",
        ],
    )],
    instead: "write `round_robin`, which also applies weights, or remove the key; keep sessions in a shared store",
};

#[rustfmt::skip]
const STATIC_FILES: Missing = Missing {
    what: "Static files",
    keys: &[(Beside::Anything, &["root", "static", "files", "file_server", "index", "try_files", "alias", "directory", "autoindex", "spa"])],
    instead: "run a file server as an upstream, such as nginx or Caddy, and lead the route to it",
};
#[rustfmt::skip]
const REDIRECTS: Missing = Missing {
    what: "Redirects, `return`, rewrites (only `strip`)",
    keys: &[(Beside::Anything, &["redirect", "redirects", "redir", "return", "rewrite", "rewrites", "respond", "response",
                                 "https_redirect", "force_https", "force_ssl", "redirect_scheme", "replace_path", "add_prefix"])],
    instead: "redirect in the application, which gets `X-Forwarded-Proto`; `strip: true` removes the route's path",
};

/// What is not there yet.
#[rustfmt::skip]
pub(super) const MISSING: &[Missing] = &[
    STATIC_FILES,
    REDIRECTS,
    Missing {
        what: "Adding, changing or removing headers",
        keys: &[(Beside::AnythingButCheck, &["headers"]),
                (Beside::Anything, &["header", "add_header", "set_header", "proxy_set_header", "proxy_hide_header",
                                     "header_up", "header_down", "request_headers", "response_headers", "custom_headers", "hsts"])],
        instead: "set them in the application; `X-Forwarded-*`, `X-Real-IP`, `X-Request-Id` and CORS (`cors:`) are built in",
    },
    Missing {
        what: "Compression",
        keys: &[(Beside::Anything, &["gzip", "gzip_types", "compress", "compression", "brotli", "zstd", "encode"])],
        instead: "compress in the application or in a CDN; compressed bodies are passed on",
    },
    Missing {
        what: "Request rate limits per client",
        keys: &[(Beside::Anything, &["rate_limit", "rate_limits", "limit_req", "limit_req_zone", "throttle", "rate", "rps"])],
        instead: "limit in the application or the `auth:` service; `limits:` has connections per client and slow clients",
    },
    Missing {
        what: "Basic auth, JWT, OpenID Connect",
        keys: &[(Beside::Anything, &["basic_auth", "auth_basic", "auth_basic_user_file", "htpasswd", "jwt", "oidc", "oauth", "oauth2"])],
        instead: "write `auth: { to: users, path: /verify }` in the route: it asks a service about each request",
    },
    Missing {
        what: "Allow and deny lists of addresses",
        keys: &[(Beside::Anything, &["allow", "deny", "allowlist", "denylist", "whitelist", "blacklist", "ip_allow_list", "ip_white_list"])],
        instead: "use a firewall, or the `auth:` service, which gets `X-Real-IP`",
    },
    Missing {
        what: "Reading `nginx.conf`",
        keys: &[],
        instead: "translate it with the table in README",
    },
    MATCHES,
    Missing {
        what: "Getting certificates (ACME)",
        keys: &[(Beside::Anything, &["acme", "letsencrypt", "cert_resolver", "autocert", "auto_https"])],
        instead: "let certbot write the files and name them: `tls: { certificate: fullchain.pem, key: privkey.pem }`",
    },
    Missing {
        what: "Client certificates (mTLS)",
        keys: &[(Beside::Anything, &["client_auth", "client_ca", "mtls", "ssl_client_certificate", "ssl_verify_client"])],
        instead: "check who a client is with `auth:` in the route, or let a load balancer in front ask for certificates",
    },
    Missing {
        what: "HTTP/3",
        keys: &[(Beside::Anything, &["http3", "quic", "h3"])],
        instead: "clients use HTTP/2 or HTTP/1.1; a CDN in front can speak HTTP/3",
    },
    BACKEND_TLS,
    SOCKETS,
    Missing {
        what: "Caching",
        keys: &[(Beside::Anything, &["cache", "caching", "proxy_cache", "cache_control", "expires"])],
        instead: "set `Cache-Control` in the application for browsers and CDNs, or put a cache in as the upstream",
    },
    Missing {
        what: "Proxying TCP or UDP",
        keys: &[(Beside::File, &["tcp", "udp", "stream", "streams"])],
        instead: "publish the port; a database without a route can still be checked and healed as an upstream",
    },
    Missing {
        what: "PROXY protocol",
        keys: &[(Beside::Anything, &["proxy_protocol", "send_proxy", "accept_proxy"])],
        instead: "have the load balancer send `X-Forwarded-For`, and list its network in `trusted_proxies`",
    },
    BALANCES,
    Missing {
        what: "Your own error pages",
        keys: &[(Beside::Anything, &["error_page", "error_pages", "error_document"])],
        instead: "`errors: json` or `html` in a route chooses the built-in form; pages of your own come from the application",
    },
    Missing {
        what: "Error log to a file, syslog",
        keys: &[(Beside::Anything, &["error_log", "syslog"])],
        instead: "it goes to standard error, where Docker's log drivers take it; `log: { level: info }` says how much",
    },
    Missing {
        what: "Traces (OpenTelemetry)",
        keys: &[(Beside::Anything, &["tracing", "traces", "opentelemetry", "otel"])],
        instead: "every request gets an `X-Request-Id`, for the backend, the response and the access log",
    },
    Missing {
        what: "A dashboard page",
        keys: &[(Beside::Anything, &["dashboard", "ui", "web_ui"])],
        instead: "use `remora status --watch`, or `/metrics` on the admin address",
    },
    Missing {
        what: "Scaling services",
        keys: &[(Beside::Anything, &["replicas", "scale", "autoscale", "deploy"])],
        instead: "`docker compose up -d --scale NAME=N`; new replicas are found without a reload",
    },
];

/// What is there, and written in another way.
#[rustfmt::skip]
const OTHERWISE: &[(Beside, &[&str], &str)] = &[
    (Beside::File, &["http", "server", "events", "worker_connections"],
     "write `listen:`, `routes:` and `upstreams:`, without blocks around them; README has a table from nginx"),
    (Beside::File, &["location", "locations", "vhosts", "virtual_hosts", "ingress", "routers", "frontends", "rules"],
     "write `routes: { /api: backend }`, or `app.example.com/api` for one host"),
    (Beside::File, &["services", "clusters", "backends", "pools"], "write `upstreams: { backend: { servers: \"backend:8000\" } }`"),
    (Beside::File, &["entrypoints", "entry_points", "bind", "port", "ports"], "write `listen: 80`"),
    (Beside::File, &["worker_processes", "workers"], "write `threads: auto`"),
    (Beside::File, &["cors"], "write `cors:` in an upstream or a route"),
    (Beside::File, &["version"], "remove it: the file has no version"),
    (Beside::Route, &["proxy_pass", "proxy", "reverse_proxy", "upstream", "backend", "service", "target", "url", "forward"],
     "write `to:` and the name of an upstream"),
    (Beside::Route, &["strip_prefix", "strip_path"], "write `strip: true`"),
    (Beside::Route, &["forward_auth", "auth_request"], "write `auth: { to: users, path: /verify }`"),
    (Beside::Upstream, &["url", "urls", "target", "targets", "endpoints", "hosts", "host", "address", "addresses", "nodes", "members"],
     "write `servers: backend:8000`, or a list of them"),
    (Beside::Upstream, &["lb_policy", "strategy", "load_balancing", "algorithm"], "write `balance: round_robin`"),
    (Beside::Upstream, &["limits"], "write `limits: { body: 10MiB }` in a route or at the top"),
    (Beside::Upstream, &["max_fails", "fail_timeout"], "write `check: { http: /health, fall: 3 }`"),
    (Beside::Upstream, &["proxy_read_timeout", "proxy_connect_timeout", "proxy_send_timeout", "read_timeout", "connect_timeout"],
     "write `timeouts: { connect: 2s, read: 60s, write: 60s }`"),
    (Beside::Upstream, &["depends_on"], "write `needs: [database]`"),
    (Beside::Check, &["path", "uri", "url", "endpoint", "get"], "write the path behind `http`: `http: /health`"),
    (Beside::Check, &["interval", "period"], "write `every: 2s`"),
    (Beside::Check, &["retries", "unhealthy_threshold", "failures", "max_fails"], "write `fall: 3`"),
    (Beside::Check, &["healthy_threshold", "successes", "passes"], "write `rise: 2`"),
    (Beside::Listener, &["ssl", "https", "ssl_certificate", "cert"], "write `tls: { certificate: fullchain.pem, key: privkey.pem }`"),
    (Beside::Listener, &["port", "host", "bind"], "write `address: 443` or `address: 127.0.0.1:8443`"),
    (Beside::Anything, &["proxy_pass", "reverse_proxy"], "write a route to an upstream: `routes: { /api: backend }`"),
    (Beside::AccessLog, &["path", "file_path", "filename", "output"], "write `file: /var/log/remora/access.log`"),
    (Beside::AccessLog, &["form", "type", "encoding"], "write `format: combined` or `format: json`"),
    (Beside::Anything, &["access_log", "log_file"], "write `log: { access: { file: /var/log/remora/access.log } }`"),
    (Beside::Anything, &["server_name", "domain", "domains"], "write the host before the path of a route: `app.example.com/api: backend`"),
    (Beside::File, &["ssl_certificate", "ssl", "https", "cert", "certificates"],
     "write `listen: [{ address: 443, tls: { certificate: fullchain.pem, key: privkey.pem } }]`"),
    (Beside::Anything, &["client_max_body_size", "max_body_size", "body_limit"], "write `limits: { body: 50MiB }` in a route or at the top"),
    (Beside::Anything, &["http2", "websocket", "websockets", "upgrade"], "remove it: HTTP/2 of clients and WebSockets need no key"),
    (Beside::Anything, &["middlewares", "plugins", "filters"], "write what they do as keys of a route or an upstream, such as `auth:` and `cors:`"),
    (Beside::Anything, &["healthcheck", "health_check", "health", "probe"], "write `check: /health` in an upstream"),
];

/// What a key asks for that is not there yet, in the map that knows the keys `known`.
pub(super) fn missing_key(key: &str, known: &[&str]) -> Option<&'static Missing> {
    let is_tried = |missing: &&Missing| missing.keys.iter().any(|(beside, keys)| beside.is(known) && holds(keys, key));
    MISSING.iter().find(is_tried)
}

/// How that is written which a key asks for, in the map that knows the keys `known`.
pub(super) fn written_otherwise(key: &str, known: &[&str]) -> Option<String> {
    let row = OTHERWISE.iter().find(|(beside, keys, _)| beside.is(known) && holds(keys, key));
    row.map(|(_, _, help)| (*help).to_owned()).or_else(|| home(key))
}

/// What a word of `balance` asks for that is not there yet.
pub(super) fn missing_balance(word: &str) -> Option<&'static Missing> {
    BALANCES.keys.iter().any(|(_, keys)| holds(keys, word)).then_some(&BALANCES)
}

/// What a server asks for that is not there yet: by its scheme, or as a path.
pub(super) fn missing_server(text: &str) -> Option<&'static Missing> {
    let lower = text.to_ascii_lowercase();
    let scheme = lower.split_once("://").map(|(scheme, _)| scheme);
    match scheme {
        Some("https" | "wss" | "h2" | "h2c" | "http2" | "grpc" | "grpcs") => Some(&BACKEND_TLS),
        Some("unix" | "fastcgi" | "fcgi" | "uwsgi" | "scgi" | "ajp") => Some(&SOCKETS),
        _ if lower.starts_with("unix:") || lower.starts_with(['/', '.']) || lower.ends_with(".sock") => Some(&SOCKETS),
        _ => None,
    }
}

/// What is asked for where a route names its upstream: a folder, a redirect, or a server itself that speaks TLS.
pub(super) fn missing_target(text: &str) -> Option<&'static Missing> {
    let word = text.split([' ', ':', '(']).next().unwrap_or_default();
    let redirects = ["redirect", "redir", "return", "rewrite", "301", "302", "307", "308"];
    match text {
        _ if redirects.contains(&word.to_ascii_lowercase().as_str()) => Some(&REDIRECTS),
        _ if text.starts_with(['/', '.']) && !text.ends_with(".sock") => Some(&STATIC_FILES),
        _ => missing_server(text),
    }
}

/// What the key of a route asks for that is not there yet: nginx's `~ \.php$` and `= /exact`, or `GET /path`.
pub(super) fn missing_match(key: &str) -> Option<&'static Missing> {
    let methods = ["GET ", "HEAD ", "POST ", "PUT ", "PATCH ", "DELETE ", "OPTIONS "];
    let tried = key.starts_with(['~', '=', '^']) || methods.iter().any(|method| key.starts_with(method));
    tried.then_some(&MATCHES)
}

/// Where a key belongs that is one, and known in one other map alone.
fn home(key: &str) -> Option<String> {
    #[rustfmt::skip]
    let homes = [
        ("at the top of the main file", keys_of::<RawFile>()),
        ("in an upstream", keys_of::<RawUpstream>()),
        ("in a route", keys_of::<RawRoute>()),
        ("in a server's long form, `servers: [{ address: backend:8000 }]`", keys_of::<RawServer>()),
        ("in `check: { http: /health }`", keys_of::<RawCheck>()),
        ("in `heal: { steps: [...] }`", keys_of::<RawHeal>()),
        ("in `timeouts:` of an upstream", keys_of::<RawTimeouts>()),
        ("in `retry:` of an upstream", keys_of::<RawRetry>()),
        ("in `limits:` at the top", keys_of::<RawLimits>()),
        ("in `log:` at the top", keys_of::<RawLog>()),
        ("in `log: { access: { ... } }` at the top", keys_of::<RawAccessLog>()),
        ("in a listener, `listen: [{ address: 443 }]`", keys_of::<RawListen>()),
        ("in `tls:` of a listener", keys_of::<RawTls>()),
    ];
    let mut found = homes.iter().filter(|(_, keys)| keys.contains(&key));
    let (place, _) = found.next()?;
    found.next().is_none().then(|| format!("it belongs {place}"))
}

/// True where a word is among others, whether written `strip_prefix`, `strip-prefix` or `stripPrefix`.
fn holds(words: &[&str], word: &str) -> bool {
    let folded =
        |word: &str| word.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect::<String>();
    words.iter().any(|other| folded(other) == folded(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_also_readmes() {
        let readme = std::fs::read_to_string("README.md").unwrap();
        let section = readme.split_once("## What Remora does not do").unwrap().1.split_once("\n## ").unwrap().0;
        let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
        let mut shown: Vec<&str> = rows.map(|line| line.split('|').nth(1).unwrap().trim()).collect();
        let mut table: Vec<&str> = MISSING.iter().map(|missing| missing.what).collect();
        shown.sort_unstable();
        table.sort_unstable();
        assert_eq!(table, shown);
    }

    #[test]
    fn no_key_that_is_there_is_called_missing() {
        let maps: [(&str, &[&str]); 4] = [
            ("file", keys_of::<RawFile>()),
            ("upstream", keys_of::<RawUpstream>()),
            ("route", keys_of::<RawRoute>()),
            ("check", keys_of::<RawCheck>()),
        ];
        for (name, known) in maps {
            for key in known {
                assert!(missing_key(key, known).is_none(), "`{key}` of {name} is there: take it out of the table");
            }
        }
    }

    #[test]
    fn what_stands_for_an_upstream_is_told_apart() {
        for (text, expected) in [
            ("redirect https://example.com/", Some("Redirects")),
            ("301 /new", Some("Redirects")),
            ("./dist", Some("Static")),
            ("/var/www/html", Some("Static")),
            ("https://app:8443", Some("TLS")),
            ("unix:/run/app.sock", Some("Unix")),
            ("/run/app.sock", Some("Unix")),
            ("http://app:8000", None),
            ("returns", None),
        ] {
            let what = missing_target(text).map(|missing| missing.what);
            assert_eq!(what.is_some(), expected.is_some(), "{text}");
            assert!(what.unwrap_or_default().starts_with(expected.unwrap_or_default()), "{text}: {what:?}");
        }
    }

    #[test]
    fn habits_are_told_apart_by_the_map() {
        let (upstream, route, listener) = (keys_of::<RawUpstream>(), keys_of::<RawRoute>(), keys_of::<RawListen>());
        assert_eq!(missing_key("tls", upstream).unwrap().what, BACKEND_TLS.what);
        assert!(missing_key("ssl", listener).is_none());
        assert!(written_otherwise("ssl", listener).unwrap().contains("`tls: {"));
        assert!(written_otherwise("stripPrefix", route).unwrap().contains("`strip: true`"));
        assert_eq!(written_otherwise("check", route).unwrap(), "it belongs in an upstream");
        assert_eq!(written_otherwise("zzz", route), None);
    }
}
