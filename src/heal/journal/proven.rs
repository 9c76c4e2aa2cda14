//! Definitions that were seen to work, oldest first. Bounded.

use std::collections::{HashSet, VecDeque};

use crate::heal::policy::Definition;

/// Definitions kept: far more than a file has, and old ones of a file that is edited all the time go.
const KEPT: usize = 4096;

/// Definitions under which a backend has passed its check.
#[derive(Debug, Default)]
pub(super) struct Proven {
    order: VecDeque<Definition>,
    known: HashSet<Definition>,
}

impl Proven {
    /// True where it was not known.
    pub(super) fn add(&mut self, definition: Definition) -> bool {
        if !self.known.insert(definition.clone()) {
            return false;
        }
        self.order.push_back(definition);
        if KEPT < self.order.len()
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }

    pub(super) fn has(&self, definition: &Definition) -> bool {
        self.known.contains(definition)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Definition> {
        self.order.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first() {
        let definition = |port| Definition { upstream: "api".into(), port, check: "tcp".into() };
        let mut proven = Proven::default();
        assert!(proven.add(definition(1)) && !proven.add(definition(1)));
        (2..=4097).for_each(|port| assert!(proven.add(definition(port))));
        assert_eq!(
            (proven.iter().count(), proven.has(&definition(1)), proven.has(&definition(2))),
            (KEPT, false, true)
        );
    }
}
