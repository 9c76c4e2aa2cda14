//! Which virtual host a request is for.

use std::collections::HashMap;

use crate::config::model::{self, HostId};

/// The virtual hosts of a listener, arranged for look-up.
#[derive(Debug, Clone)]
pub struct NameTable {
    exact: HashMap<Box<str>, HostId>,
    /// Longest first.
    suffixes: Vec<(Box<str>, HostId)>,
    default: HostId,
}

impl NameTable {
    /// Arranges them.
    pub fn new(names: &model::Names) -> Self {
        let exact = names.exact.iter().map(|(name, host)| (name.clone(), *host)).collect();
        Self { exact, suffixes: names.suffixes.clone(), default: names.default }
    }

    /// The virtual host of a name, which may have a port, capitals and a final dot.
    pub fn find(&self, host: &str) -> HostId {
        if self.exact.is_empty() && self.suffixes.is_empty() {
            return self.default;
        }
        let host = without_port(host);
        let lower;
        let host = if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            lower = host.to_ascii_lowercase();
            &lower
        } else {
            host
        };
        let covers = |suffix: &str| suffix.len() < host.len() && host.ends_with(suffix);
        let by_suffix = || self.suffixes.iter().find(|(suffix, _)| covers(suffix)).map(|(_, host)| *host);
        self.exact.get(host).copied().or_else(by_suffix).unwrap_or(self.default)
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

    #[test]
    fn exact_names_win_over_wildcards_and_the_longer_wildcard_over_the_shorter() {
        let names = NameTable::new(&model::Names {
            exact: [("a.example.com".into(), HostId(1)), ("[::1]".into(), HostId(4))].into(),
            suffixes: vec![(".b.example.com".into(), HostId(3)), (".example.com".into(), HostId(2))],
            default: HostId(0),
        });
        #[rustfmt::skip]
        let rows = [
            ("a.example.com",      1),
            ("A.Example.COM:8080", 1),
            ("a.example.com.",     1),
            ("x.example.com",      2),
            ("x.b.example.com",    3),
            (".example.com",       0),
            ("example.com",        0),
            ("other",              0),
            ("",                   0),
            ("[::1]:80",           4),
            ("[::1",               0),
        ];
        for (host, expected) in rows {
            assert_eq!(names.find(host), HostId(expected), "{host}");
        }
    }
}
