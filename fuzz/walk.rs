//! What the walk promises, for any routes and any head. The fuzz target and `tests/corpora` check the same.

use std::time::Duration;

use remora::config::model::{AuthSpec, Content, Gate, Proxy, ResponseEdits, Route, Site, UriRule};
use remora::http1::{HeadLimits, RequestHead, Scan};
use remora::plan::{self, Asked, Verdict, Walk};
use remora::routing::normal_path;
use remora::snapshot::Program;
use remora::types::{ByteSize, HostPattern, PathPrefix, UpstreamName};

const LIMITS: HeadLimits = HeadLimits { size: 32 << 10, fields: 100, target: 8 << 10 };
const ROUTES_MAX: usize = 24;

/// Routes, one a line up to an empty one, then a request. A line is a host and a path, and behind a blank letters: `s` strip,
/// `a` and `b` ask one of two auth upstreams, `l` a body limit. What is no route is left out.
pub fn walk(bytes: &[u8]) {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n").unwrap_or(0);
    let (written, request) = (&bytes[..end], bytes.get(end + 2..).unwrap_or(bytes));
    let mut routes: Vec<Route> = Vec::new();
    for line in String::from_utf8_lossy(written).lines().take(ROUTES_MAX) {
        let Some(route) = route(line) else { continue };
        if !routes.iter().any(|other| other.host == route.host && other.path == route.path) {
            routes.push(route);
        }
    }
    let site = Site::of_hosts(1, routes, [].into(), Vec::new());
    let mut scan = Scan::default();
    let Ok(Some(length)) = scan.end(request, LIMITS) else { return };
    let mut head = RequestHead::default();
    if head.read(&request[..length], LIMITS).is_ok() {
        goes_as_promised(&site, &head, &request[..length]);
    }
}

fn route(line: &str) -> Option<Route> {
    let (place, flags) = line.split_once(' ').unwrap_or((line, ""));
    let (host, path) = place.split_at(place.find('/')?);
    let host = if host.is_empty() { None } else { Some(HostPattern::parse(host).ok()?) };
    let path = PathPrefix::parse(path).ok()?;
    let name = |name: &str| UpstreamName::parse(name).unwrap();
    let auth = |to: &str| AuthSpec {
        to: name(to),
        path: "/verify".parse().unwrap(),
        pass: Vec::new(),
        timeout: Duration::from_secs(5),
    };
    let mut gates = Vec::new();
    if flags.contains('l') {
        gates.push(Gate::Body);
    }
    gates.extend(['a', 'b'].iter().find(|flag| flags.contains(**flag)).map(|flag| Gate::Auth(auth(&flag.to_string()))));
    let strips = flags.contains('s') && !path.is_root();
    let uri = if strips { UriRule::Strip(path.clone()) } else { UriRule::AsSent };
    let content = Content::Proxy(Proxy { to: name("app"), uri });
    let body_limit = flags.contains('l').then_some(ByteSize(100));
    Some(Route { host, path, gates, content, body_limit, response: ResponseEdits::default(), ..Route::not_found() })
}

fn goes_as_promised(site: &Site, head: &RequestHead, bytes: &[u8]) {
    let program = Program::new(site);
    let view = head.view(bytes);
    let asked = Asked::of(&view, 0, false);
    let mut walk = Walk::start(&program, &asked);
    let route = &site.routes[usize::try_from(walk.route().0).unwrap()];
    let mut was_asked = None;
    for _ in 0..=route.gates.len() {
        match walk.next(&program, &asked, &view) {
            Verdict::Ask(auth) => was_asked = Some(auth.clone()),
            Verdict::Preflight(_) => return,
            Verdict::Refuse(refusal) => {
                assert!(refusal.status.is_client_error(), "{refusal:?}");
                return;
            }
            Verdict::Pass(proxy) => {
                assert!(asked.length.is_none_or(|length| route.body_limit.is_none_or(|limit| length <= limit.0)));
                assert_eq!(was_asked.as_ref(), route.auth(), "it is asked about, or never was to be");
                let path = if asked.path == "*" { "/" } else { asked.path };
                let normal = normal_path(path).unwrap();
                assert_eq!(said(site, view.host(), &normal).map(|route| route.to_string()), Some(route.to_string()));
                if let Some(path) = plan::rewritten(&proxy.uri, view.path()) {
                    assert!(path.starts_with('/') && !path.bytes().any(|byte| byte <= b' ' || byte == 0x7f), "{path}");
                }
                for reading in readings(path) {
                    let Some(auth) = said(site, view.host(), &reading).and_then(|other| other.auth()) else { continue };
                    assert_eq!(was_asked.as_ref(), Some(auth), "read as {reading}, somebody would have been asked");
                }
                return;
            }
        }
    }
    panic!("no end of verdicts");
}

/// The route of a path in normal form by the words of the reference, looking at every one.
fn said<'s>(site: &'s Site, host: &str, path: &str) -> Option<&'s Route> {
    let end = if host.starts_with('[') { host.find(']').map(|end| end + 1) } else { host.find(':') };
    let host = host[..end.unwrap_or(host.len())].to_ascii_lowercase();
    let host = host.strip_suffix('.').unwrap_or(&host);
    let rank = |pattern: &Option<HostPattern>| match pattern {
        Some(HostPattern::Exact(name)) => (**name == *host).then_some(usize::MAX),
        Some(HostPattern::Suffix(suffix)) => {
            (suffix.len() < host.len() && host.ends_with(&**suffix)).then_some(suffix.len())
        }
        None => Some(0),
    };
    let routes = site.routes.iter().filter(|route| route.to().is_some() && route.path.covers(path));
    let ranked = routes.filter_map(|route| Some((rank(&route.host)?, route)));
    ranked.max_by_key(|(rank, route)| (*rank, route.path.as_str().len())).map(|(_, route)| &**route)
}

/// Some ways in which services read a path, found in another way than the library finds them: without what follows `;`, and
/// decoded up to twice before dots are resolved.
fn readings(path: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut text = path.to_owned();
    for _ in 0..3 {
        let cut: Vec<_> = text.split('/').map(|segment| segment.split(';').next().unwrap_or_default()).collect();
        for spelling in [text.clone(), cut.join("/")] {
            let mut segments: Vec<&str> = Vec::new();
            for segment in spelling.split('/') {
                match segment {
                    "" | "." => {}
                    ".." => drop(segments.pop()),
                    other => segments.push(other),
                }
            }
            found.push(format!("/{}", segments.join("/")));
        }
        text = decoded(&text);
    }
    found
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while let Some(&byte) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 3).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        match digits {
            Some(digits) if byte == b'%' => {
                out.push(u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap());
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
