//! The walk, as tables: a file, requests, and what has to be done with each.

use std::path::Path;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::*;
use crate::config::load_text;
use crate::config::model::{Site, UriRule};
use crate::types::HostPattern;

fn site(routes: &str) -> Site {
    let text = format!(
        "routes:\n{routes}\nupstreams:\n  a: a:80\n  b: b:80\n  c: {{ servers: c:80, cors: https://c.test }}\n  users: users:80\n"
    );
    load_text(Path::new("remora.yaml"), text, &|_| None).unwrap().config.site
}

fn get<'a>(host: &'a str, path: &'a str) -> Asked<'a> {
    Asked { listener: 0, method: "GET", host, path, needs_host: true, length: None }
}

/// The verdicts of a request in words, with every auth upstream saying yes; at the end the route.
fn way(program: &Program, asked: &Asked<'_>, headers: &HeaderMap) -> String {
    let mut walk = Walk::start(program, asked);
    let mut told = Vec::new();
    loop {
        let (word, is_last) = match walk.next(program, asked, headers) {
            Verdict::Pass(proxy) => {
                let strip = if proxy.uri == UriRule::AsSent { "" } else { " stripped" };
                (format!("pass to {}{strip}", proxy.to), true)
            }
            Verdict::Ask(auth) => (format!("ask {}", auth.to), false),
            Verdict::Preflight(preflight) => (format!("preflight {}", preflight.status.as_u16()), true),
            Verdict::Refuse(refusal) => (format!("{} {}", refusal.status.as_u16(), refusal.reason.as_str()), true),
        };
        told.push(word);
        if is_last {
            return told.join(", ");
        }
    }
}

fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
    list.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

#[test]
fn gates_come_in_order_and_then_the_content() {
    let site = site(
        "  /: a\n  /plain: { to: b, strip: true, limits: { body: 0 } }\n  /small: { to: b, limits: { body: 10B } }\n\
         \x20 /c: c\n  /own: { to: c, cors: \"*\" }\n\
         \x20 /safe: { to: c, limits: { body: 10B }, auth: { to: users, path: /verify } }\n",
    );
    let program = Program::new(&site);
    let none = headers(&[]);
    let preflight = headers(&[("origin", "https://c.test"), ("access-control-request-method", "PUT")]);
    let stranger = headers(&[("origin", "https://x.test"), ("access-control-request-method", "PUT")]);
    #[rustfmt::skip]
    let rows = [
        // method   path           length       headers     way
        ("GET",     "/",           None,        &none,      "pass to a"),
        ("GET",     "/plain/x",    None,        &none,      "pass to b stripped"),
        ("POST",    "/",           Some(10485760), &none,   "pass to a"),
        ("POST",    "/",           Some(10485761), &none,   "413 too_large"),
        ("POST",    "/plain",      Some(u64::MAX), &none,   "pass to b stripped"),
        ("POST",    "/small",      Some(10),    &none,      "pass to b"),
        ("POST",    "/small",      Some(11),    &none,      "413 too_large"),
        ("OPTIONS", "/",           None,        &preflight, "pass to a"),
        ("OPTIONS", "/c",          None,        &preflight, "preflight 204"),
        ("OPTIONS", "/c",          None,        &stranger,  "preflight 403"),
        ("OPTIONS", "/own",        None,        &stranger,  "preflight 204"),
        ("GET",     "/c",          None,        &preflight, "pass to c"),
        ("GET",     "/safe",       None,        &none,      "ask users, pass to c"),
        ("POST",    "/safe",       Some(11),    &none,      "413 too_large"),
        ("OPTIONS", "/safe",       Some(11),    &preflight, "preflight 204"),
        ("OPTIONS", "*",           None,        &none,      "pass to a"),
        ("GET",     "*",           None,        &none,      "400 bad_request"),
        ("TRACE",   "/",           None,        &none,      "405 bad_request"),
        ("GET",     "/%2e%2e/",    None,        &none,      "400 bad_request"),
        ("GET",     "/x;/../safe", None,        &none,      "ask users, pass to c"),
        ("GET",     "/safe;x",     None,        &none,      "400 bad_request"),
        ("GET",     "/SAFE",       None,        &none,      "400 bad_request"),
    ];
    for (method, path, length, headers, expected) in rows {
        let asked = Asked { method, length, ..get("x", path) };
        assert_eq!(way(&program, &asked, headers), expected, "{method} {path} {length:?}");
    }
    assert_eq!(way(&program, &get("", "/"), &none), "400 bad_request", "no host");
    assert_eq!(way(&program, &Asked { needs_host: false, ..get("", "/") }, &none), "pass to a");
}

#[test]
fn a_walk_can_be_handed_on() {
    let site = site("  /: { to: a, auth: { to: users, path: /v } }\n");
    let program = Program::new(&site);
    let asked = get("x", "/");
    let mut walk = Walk::start(&program, &asked);
    assert!(walk.may_ask(&program));
    assert!(matches!(walk.next(&program, &asked, &HeaderMap::new()), Verdict::Ask(_)));
    let mut again = walk;
    assert!(matches!(again.next(&program, &asked, &HeaderMap::new()), Verdict::Pass(_)));
    assert!(matches!(Walk::lost().next(&program, &asked, &HeaderMap::new()), Verdict::Refuse(_)));
}

/// The route that a host and a path lead to, as the file writes it.
fn found(site: &Site, program: &Program, host: &str, path: &str) -> Option<String> {
    let walk = Walk::start(program, &get(host, path));
    let route = &site.routes[usize::try_from(walk.route().0).unwrap()];
    route.to().map(|_| route.to_string())
}

#[test]
fn exact_hosts_win_over_wildcards_and_those_over_any_and_then_the_longest_path() {
    let site = site(
        "  /: a\n  /api: a\n  /api/v1/users: a\n  a.example.com/: a\n  a.example.com/api: a\n  \"*.example.com/\": a\n\
         \x20 \"*.b.example.com/x\": a\n  c.test/only: a\n  c.test/api/v1: a\n",
    );
    let program = Program::new(&site);
    #[rustfmt::skip]
    let rows = [
        ("any",                 "/",               "/"),
        ("any",                 "/api",            "/api"),
        ("any",                 "/api/",           "/api"),
        ("any",                 "/apiary",         "/"),
        ("any",                 "/api/v1/users/7", "/api/v1/users"),
        ("any",                 "/api/v1/usersx",  "/api"),
        ("a.example.com",       "/",               "a.example.com/"),
        ("A.Example.COM:8080",  "/api/v1/users",   "a.example.com/api"),
        ("a.example.com.",      "/api",            "a.example.com/api"),
        ("x.example.com",       "/api",            "*.example.com/"),
        ("x.b.example.com",     "/x/y",            "*.b.example.com/x"),
        ("x.b.example.com",     "/y",              "*.example.com/"),
        ("example.com",         "/",               "/"),
        ("c.test",              "/only/x",         "c.test/only"),
        ("c.test",              "/onlyx",          "/"),
        ("c.test",              "/api/v1",         "c.test/api/v1"),
        ("c.test",              "/api/v1/users",   "c.test/api/v1"),
        ("c.test",              "/api/v2",         "/api"),
        ("[::1]:80",            "/",               "/"),
    ];
    for (host, path, route) in rows {
        assert_eq!(found(&site, &program, host, path).as_deref(), Some(route), "{host}{path}");
    }
}

#[test]
fn what_no_route_takes_has_the_hosts_own() {
    let site = site("  /api: a\n  a.test/x: { to: a, errors: json }\n");
    let program = Program::new(&site);
    for (host, path) in [("any", "/"), ("a.test", "/"), ("a.test", "/xy")] {
        assert_eq!(found(&site, &program, host, path), None, "{host}{path}");
        assert_eq!(way(&program, &get(host, path), &HeaderMap::new()), "404 no_route");
    }
    assert_eq!(found(&site, &program, "a.test", "/api").as_deref(), Some("/api"));
}

/// What the words of the reference say, looking at every route: hosts by precedence, and in each the longest path.
fn as_said(site: &Site, host: &str, path: &str) -> Option<String> {
    let rank = |pattern: &Option<HostPattern>| match pattern {
        Some(HostPattern::Exact(name)) => (**name == *host).then_some(usize::MAX),
        Some(HostPattern::Suffix(suffix)) => {
            (suffix.len() < host.len() && host.ends_with(&**suffix)).then_some(suffix.len())
        }
        None => Some(0),
    };
    let routes = site.to_upstreams().map(|(route, _)| route);
    let covering = routes.filter(|route| route.path.covers(path)).filter_map(|route| Some((rank(&route.host)?, route)));
    covering.max_by_key(|(rank, route)| (*rank, route.path.as_str().len())).map(|(_, route)| route.to_string())
}

#[test]
fn any_site_and_any_path_lead_where_the_words_say() {
    let mut random = fastrand::Rng::with_seed(11);
    let hosts = ["", "a.test", "b.a.test", "*.a.test", "*.test", "*.b.a.test"];
    let segments = ["a", "b", "ab", "é"];
    let mut path = |most: usize| -> String {
        let count = random.usize(0..=most);
        let path: String = (0..count).map(|_| format!("/{}", random.choice(segments).unwrap())).collect();
        if path.is_empty() { "/".into() } else { path }
    };
    let mut random = fastrand::Rng::with_seed(12);
    for _ in 0..200 {
        let mut keys: Vec<String> = (0..8).map(|_| format!("{}{}", random.choice(hosts).unwrap(), path(3))).collect();
        keys.sort();
        keys.dedup();
        let routes: String = keys.iter().map(|key| format!("  \"{key}\": a\n")).collect();
        let site = site(&routes);
        let program = Program::new(&site);
        for _ in 0..60 {
            let (host, path) = (random.choice(["a.test", "b.a.test", "x.b.a.test", "c.test", "d"]).unwrap(), path(4));
            assert_eq!(found(&site, &program, host, &path), as_said(&site, host, &path), "{host}{path} in\n{routes}");
        }
    }
}
