//! Which route of a virtual host a path is for: a radix tree, so that finding one takes as long as the path is, however many
//! routes there are.

use crate::config::model::{Location, PathMatch, RouteId};

/// The locations of a virtual host, arranged for look-up.
#[derive(Debug, Clone)]
pub struct PathTable {
    /// The first is the root, with an empty text.
    nodes: Vec<PathNode>,
}

/// A part of a path. Its text follows that of the nodes above it.
#[derive(Debug, Clone, Default)]
struct PathNode {
    text: Box<[u8]>,
    /// For the path that ends here.
    exact: Option<RouteId>,
    /// For paths that go on.
    prefix: Option<RouteId>,
    /// By their first byte, in order.
    children: Vec<(u8, usize)>,
}

impl Default for PathTable {
    fn default() -> Self {
        Self { nodes: vec![PathNode::default()] }
    }
}

impl PathTable {
    /// Arranges locations. Of two that match the same the last one stays.
    pub fn new<'a>(locations: impl IntoIterator<Item = (&'a str, PathMatch, RouteId)>) -> Self {
        let mut paths = Self::default();
        for (text, matches, route) in locations {
            let at = paths.node(text.as_bytes());
            let node = &mut paths.nodes[at];
            match matches {
                PathMatch::Exact => node.exact = Some(route),
                PathMatch::Prefix => node.prefix = Some(route),
            }
        }
        paths
    }

    /// The same of a virtual host.
    pub fn of(locations: &[Location]) -> Self {
        Self::new(locations.iter().map(|location| (&*location.text, location.matches, location.route)))
    }

    /// The node of a text, made where it is not there.
    fn node(&mut self, text: &[u8]) -> usize {
        let (mut at, mut rest) = (0, text);
        while let Some(&first) = rest.first() {
            let place = match self.nodes[at].children.binary_search_by_key(&first, |(byte, _)| *byte) {
                Ok(found) => self.nodes[at].children[found].1,
                Err(place) => {
                    let new = self.nodes.len();
                    self.nodes.push(PathNode { text: rest.into(), ..PathNode::default() });
                    self.nodes[at].children.insert(place, (first, new));
                    return new;
                }
            };
            let common = rest.iter().zip(&*self.nodes[place].text).take_while(|(a, b)| a == b).count();
            if common < self.nodes[place].text.len() {
                self.split(place, common);
            }
            (at, rest) = (place, &rest[common..]);
        }
        at
    }

    /// Leaves a node the first `length` bytes of its text; what it had is below it then.
    fn split(&mut self, at: usize, length: usize) {
        let lower_index = self.nodes.len();
        let mut lower = std::mem::take(&mut self.nodes[at]);
        let (upper, rest) = lower.text.split_at(length);
        let node = PathNode { text: upper.into(), children: vec![(rest[0], lower_index)], ..PathNode::default() };
        self.nodes[at] = node;
        lower.text = rest.into();
        self.nodes.push(lower);
    }

    /// The route of a path in normal form: that of the path itself, or else of its longest beginning.
    pub fn find(&self, path: &str) -> Option<RouteId> {
        let (mut node, mut rest, mut longest) = (&self.nodes[0], path.as_bytes(), None);
        loop {
            if rest.is_empty() && node.exact.is_some() {
                return node.exact;
            }
            longest = node.prefix.or(longest);
            let Some(first) = rest.first() else { return longest };
            let Ok(found) = node.children.binary_search_by_key(first, |(byte, _)| *byte) else { return longest };
            node = &self.nodes[node.children[found].1];
            match rest.strip_prefix(&*node.text) {
                Some(below) => rest = below,
                None => return longest,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(locations: &[(&'static str, PathMatch)]) -> PathTable {
        let numbered = locations.iter().zip(0..);
        PathTable::new(numbered.map(|((text, matches), number)| (*text, *matches, RouteId(number))))
    }

    #[test]
    fn the_exact_path_wins_and_then_the_longest_beginning() {
        use PathMatch::{Exact, Prefix};
        let paths = paths(&[
            ("/", Prefix),
            ("/api", Exact),
            ("/api/", Prefix),
            ("/api/v1/users", Prefix),
            ("/api/v1", Prefix),
            ("/apiary", Exact),
            ("/é/", Prefix),
        ]);
        #[rustfmt::skip]
        let rows = [
            ("/",               Some(0)),
            ("/index.html",     Some(0)),
            ("/api",            Some(1)),
            ("/api/",           Some(2)),
            ("/api/v",          Some(2)),
            ("/api/v1",         Some(4)),
            ("/api/v11",        Some(4)),
            ("/api/v1/users",   Some(3)),
            ("/api/v1/users/7", Some(3)),
            ("/apiary",         Some(5)),
            ("/apiaryx",        Some(0)),
            ("/apia",           Some(0)),
            ("/ap",             Some(0)),
            ("/é/x",            Some(6)),
            ("/é",              Some(0)),
            ("",                None),
        ];
        for (path, expected) in rows {
            assert_eq!(paths.find(path), expected.map(RouteId), "{path}");
        }
        assert_eq!(PathTable::default().find("/"), None);
    }

    #[test]
    fn it_finds_what_looking_at_every_location_finds() {
        let random = fastrand::Rng::with_seed(7);
        let mut random = random;
        let mut text = |most: usize| -> String {
            let length = random.usize(..=most);
            std::iter::repeat_with(|| random.choice(['/', 'a', 'b']).unwrap()).take(length).collect()
        };
        for _ in 0..200 {
            let locations: Vec<(String, PathMatch, RouteId)> = (0..20)
                .map(|number| {
                    let matches = if number % 3 == 0 { PathMatch::Exact } else { PathMatch::Prefix };
                    (text(6), matches, RouteId(number))
                })
                .collect();
            let paths =
                PathTable::new(locations.iter().map(|(text, matches, route)| (text.as_str(), *matches, *route)));
            for _ in 0..50 {
                let path = text(9);
                let exact = locations.iter().rfind(|(text, matches, _)| *matches == PathMatch::Exact && *text == path);
                let prefixes = locations
                    .iter()
                    .filter(|(text, matches, _)| *matches == PathMatch::Prefix && path.starts_with(text.as_str()));
                let expected = exact.or(prefixes.max_by_key(|(text, _, route)| (text.len(), *route)));
                assert_eq!(paths.find(&path), expected.map(|(_, _, route)| *route), "{path} in {locations:?}");
            }
        }
    }
}
