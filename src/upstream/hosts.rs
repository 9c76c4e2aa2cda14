//! The names of `/etc/hosts`, which come before those of DNS: Compose's `extra_hosts`, and `localhost`.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

/// Addresses by name, in small letters.
#[derive(Debug, Default)]
pub(super) struct Hosts(HashMap<String, Vec<IpAddr>>);

impl Hosts {
    /// Reads lines of an address and its names; what is after `#`, and what is no address, says nothing.
    pub fn read(text: &[u8]) -> Self {
        let mut names: HashMap<String, Vec<IpAddr>> = HashMap::new();
        for line in String::from_utf8_lossy(text).lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let address = words.next().and_then(|word| word.split('%').next()?.parse().ok());
            let Some(address) = address else { continue };
            for name in words {
                names.entry(plain(name)).or_default().push(address);
            }
        }
        Self(names)
    }

    /// Every address of a name, where it has any here. A name of this very host needs no line (RFC 6761, section 6.3).
    pub fn find(&self, name: &str) -> Option<Vec<IpAddr>> {
        let name = plain(name);
        let is_local = name == "localhost" || name.ends_with(".localhost");
        self.0.get(&name).cloned().or_else(|| is_local.then(|| vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]))
    }
}

fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_the_addresses_of_all_their_lines() {
        let hosts = Hosts::read(
            b"127.0.0.1 localhost # me\n::1\tlocalhost ip6-localhost\n\n#10.0.0.1 gone\n10.0.0.2 Api_1 api.test\n10.0.0.3 api.test\nnonsense x\nfe80::1%eth0 link\n",
        );
        #[rustfmt::skip]
        let rows = [
            ("localhost",      Some("127.0.0.1 ::1")),
            ("a.localhost",    Some("127.0.0.1")),
            ("api.test",       Some("10.0.0.2 10.0.0.3")),
            ("API.test.",      Some("10.0.0.2 10.0.0.3")),
            ("api_1",          Some("10.0.0.2")),
            ("link",           Some("fe80::1")),
            ("gone",           None),
            ("x",              None),
        ];
        for (name, expected) in rows {
            let found = hosts.find(name).map(|found| found.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" "));
            assert_eq!(found.as_deref(), expected, "{name}");
        }
        assert_eq!(Hosts::default().find("localhost").unwrap().len(), 1);
    }
}
