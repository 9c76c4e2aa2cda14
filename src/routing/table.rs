//! All routes, arranged so that finding one takes as many look-ups as the path has segments, however many routes there are.

use std::collections::HashMap;

use crate::types::{HostPattern, PathPrefix};

/// Routes by host, then by path. An exact host wins over a wildcard, the longer wildcard over the shorter, any over
/// none; within a host the longest path wins. A host that has routes but none for a path falls through to the next.
#[derive(Debug, Clone)]
pub struct RouteTable<T> {
    exact: HashMap<Box<str>, Paths<T>>,
    /// Longest first.
    suffixes: Vec<(Box<str>, Paths<T>)>,
    any: Paths<T>,
}

/// The routes of one host.
#[derive(Debug, Clone)]
struct Paths<T> {
    by_prefix: HashMap<Box<str>, T>,
    root: Option<T>,
    /// Segments of the longest prefix; a path need not be cut at more.
    depth: usize,
}

impl<T> Default for Paths<T> {
    fn default() -> Self {
        Self { by_prefix: HashMap::new(), root: None, depth: 0 }
    }
}

impl<T> Paths<T> {
    fn insert(&mut self, path: &PathPrefix, route: T) {
        if path.is_root() {
            self.root = Some(route);
        } else {
            self.depth = self.depth.max(path.as_str().matches('/').count());
            self.by_prefix.insert(path.as_str().into(), route);
        }
    }

    fn find(&self, path: &str) -> Option<&T> {
        if self.by_prefix.is_empty() {
            return self.root.as_ref();
        }
        let ends = path.char_indices().skip(1).filter(|(_, c)| *c == '/').map(|(index, _)| index);
        let deep_end = ends.clone().nth(self.depth.saturating_sub(1));
        let mut candidate = deep_end.map_or(path, |end| &path[..end]);
        loop {
            if let Some(route) = self.by_prefix.get(candidate) {
                return Some(route);
            }
            match candidate.rfind('/') {
                Some(end) if end != 0 => candidate = &candidate[..end],
                _ => return self.root.as_ref(),
            }
        }
    }
}

impl<T> RouteTable<T> {
    /// Arranges routes. Of two with the same host and path the later one stays; `config` allows none.
    pub fn new<'a>(routes: impl IntoIterator<Item = (Option<&'a HostPattern>, &'a PathPrefix, T)>) -> Self {
        let mut table = Self { exact: HashMap::new(), suffixes: Vec::new(), any: Paths::default() };
        for (host, path, route) in routes {
            let paths = match host {
                None => &mut table.any,
                Some(HostPattern::Exact(host)) => table.exact.entry(host.clone()).or_default(),
                Some(HostPattern::Suffix(suffix)) => table.suffix(suffix),
            };
            paths.insert(path, route);
        }
        table.suffixes.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        table
    }

    fn suffix(&mut self, suffix: &str) -> &mut Paths<T> {
        let index = self.suffixes.iter().position(|(known, _)| &**known == suffix).unwrap_or_else(|| {
            self.suffixes.push((suffix.into(), Paths::default()));
            self.suffixes.len() - 1
        });
        &mut self.suffixes[index].1
    }

    /// The route for a host and a path in normal form. The host may have a port and capitals.
    pub fn find(&self, host: &str, path: &str) -> Option<&T> {
        if self.exact.is_empty() && self.suffixes.is_empty() {
            return self.any.find(path);
        }
        let host = without_port(host);
        let lower;
        let host = if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            lower = host.to_ascii_lowercase();
            &lower
        } else {
            host
        };
        let exact = self.exact.get(host).and_then(|paths| paths.find(path));
        let by_suffix = || {
            let covers = |suffix: &str| suffix.len() < host.len() && host.ends_with(suffix);
            self.suffixes.iter().filter(|(suffix, _)| covers(suffix)).find_map(|(_, paths)| paths.find(path))
        };
        exact.or_else(by_suffix).or_else(|| self.any.find(path))
    }
}

/// `app:8080` → `app`, `[::1]:8080` → `[::1]`; a trailing dot goes too.
fn without_port(host: &str) -> &str {
    let end = if host.starts_with('[') { host.find(']').map(|end| end + 1) } else { host.find(':') };
    let name = end.map_or(host, |end| &host[..end]);
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(routes: &[&'static str]) -> RouteTable<&'static str> {
        let parsed: Vec<_> = routes
            .iter()
            .map(|route| {
                let (host, path) = route.split_at(route.find('/').unwrap());
                let host = (!host.is_empty()).then(|| HostPattern::parse(host).unwrap());
                (host, PathPrefix::parse(path).unwrap(), *route)
            })
            .collect();
        RouteTable::new(parsed.iter().map(|(host, path, route)| (host.as_ref(), path, *route)))
    }

    #[test]
    fn the_longest_path_on_whole_segments_wins() {
        let table = table(&["/", "/api", "/api/v1/users", "/static"]);
        #[rustfmt::skip]
        let rows = [
            ("/",                     "/"),
            ("/index.html",           "/"),
            ("/api",                  "/api"),
            ("/api/",                 "/api"),
            ("/api/v1",               "/api"),
            ("/api/v1/users",         "/api/v1/users"),
            ("/api/v1/users/7/posts", "/api/v1/users"),
            ("/api/v1/usersx",        "/api"),
            ("/apiary",               "/"),
            ("/static/a/b/c/d/e/f",   "/static"),
        ];
        for (path, route) in rows {
            assert_eq!(table.find("any", path), Some(&route), "{path}");
        }
    }

    #[test]
    fn exact_hosts_win_over_wildcards_and_those_over_any() {
        let table =
            table(&["/", "a.example.com/", "*.example.com/", "*.b.example.com/", "a.example.com/api", "c.test/only"]);
        #[rustfmt::skip]
        let rows = [
            ("a.example.com",       "/",     "a.example.com/"),
            ("A.Example.COM:8080",  "/",     "a.example.com/"),
            ("a.example.com.",      "/api",  "a.example.com/api"),
            ("x.example.com",       "/",     "*.example.com/"),
            ("x.b.example.com",     "/",     "*.b.example.com/"),
            ("example.com",         "/",     "/"),
            ("other",               "/api",  "/"),
            ("c.test",              "/only", "c.test/only"),
            ("c.test",              "/x",    "/"),
            ("[::1]:80",            "/",     "/"),
        ];
        for (host, path, route) in rows {
            assert_eq!(table.find(host, path), Some(&route), "{host}{path}");
        }
    }

    #[test]
    fn no_route_is_found_where_there_is_none() {
        assert_eq!(table(&["/api"]).find("any", "/"), None);
        assert_eq!(table(&["a.test/"]).find("b.test", "/"), None);
    }
}
