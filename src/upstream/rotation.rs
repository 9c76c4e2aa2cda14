//! Which backends take turns and in which order. Built when membership or health changes, read by every request.

use std::sync::Arc;

use crate::types::Weight;

use super::backend::{Backend, BackendState};

/// Which tier of backends a rotation is made of, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serving {
    /// Those that are up and not backups.
    Up,
    /// Backups that are up, since nothing else is.
    Backup,
    /// Those that have not been probed yet, since nothing else is there.
    Untested,
    /// Those that are down by check alone, since nothing else is there.
    FailOpen,
    /// None.
    Nobody,
}

/// An immutable order of turns.
#[derive(Debug)]
pub struct Rotation {
    /// The tier.
    pub serving: Serving,
    backends: Box<[Arc<Backend>]>,
    turns: Box<[u16]>,
}

impl Rotation {
    /// No turns at all.
    pub fn empty() -> Self {
        Self { serving: Serving::Nobody, backends: Box::new([]), turns: Box::new([]) }
    }

    /// Turns for the given backends, by their weights.
    pub fn new(serving: Serving, backends: Vec<Arc<Backend>>) -> Self {
        let weights: Vec<Weight> = backends.iter().map(|backend| backend.server().weight).collect();
        Self { serving, turns: smooth_turns(&weights), backends: backends.into() }
    }

    /// True when nobody takes turns.
    pub fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// True when just these take turns.
    pub fn has_just(&self, backends: &[Arc<Backend>]) -> bool {
        let mut pairs = self.backends.iter().zip(backends);
        self.backends.len() == backends.len() && pairs.all(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// How many backends take turns.
    pub fn backends(&self) -> usize {
        self.backends.len()
    }

    /// Those that take turns.
    pub fn all(&self) -> &[Arc<Backend>] {
        &self.backends
    }

    /// The backend whose turn it is, or the next one that `accept` lets through.
    pub fn at(&self, turn: u64, mut accept: impl FnMut(&Backend) -> bool) -> Option<&Arc<Backend>> {
        let turns = self.turns.len();
        let first = usize::try_from(turn % u64::try_from(turns.max(1)).ok()?).ok()?;
        let indices = self.turns[first.min(turns)..].iter().chain(&self.turns[..first.min(turns)]);
        indices.map(|&index| &self.backends[usize::from(index)]).find(|backend| accept(backend))
    }
}

/// The order of nginx's smooth weighted round robin (`ngx_http_upstream_round_robin.c`), one whole period:
/// each turn every entry gains its weight, the highest goes, and pays the total. 5:1:1 gives a a b a c a a.
fn smooth_turns(weights: &[Weight]) -> Box<[u16]> {
    if weights.windows(2).all(|pair| pair[0] == pair[1]) {
        // In turn, as it would come out; but it would cost the square of their number.
        return (0..weights.len()).map(|index| u16::try_from(index).unwrap_or(u16::MAX)).collect();
    }
    let divisor = weights.iter().fold(0, |divisor, weight| gcd(divisor, i64::from(weight.get())));
    let weights: Vec<i64> = weights.iter().map(|weight| i64::from(weight.get()) / divisor).collect();
    let period: i64 = weights.iter().sum();
    let mut gained = vec![0; weights.len()];
    let turn = |_| {
        for (gain, weight) in gained.iter_mut().zip(&weights) {
            *gain += weight;
        }
        let mut highest = 0;
        for (index, gain) in gained.iter().enumerate() {
            if gained[highest] < *gain {
                highest = index;
            }
        }
        gained[highest] -= period;
        u16::try_from(highest).unwrap_or(u16::MAX)
    };
    (0..period).map(turn).collect()
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The best tier that has anyone in it. Where requests are held they wait for a first probe as well.
pub(super) fn best_tier(present: &[&Arc<Backend>], holds: bool) -> (Serving, Vec<Arc<Backend>>) {
    let pick = |accept: &dyn Fn(&Backend) -> bool| -> Vec<Arc<Backend>> {
        present.iter().filter(|backend| accept(backend)).map(|backend| Arc::clone(backend)).collect()
    };
    type Accept = fn(&Backend) -> bool;
    let up: Accept = |b| b.state() == BackendState::Up && !b.server().backup;
    let backup: Accept = |b| b.state() == BackendState::Up && b.server().backup;
    let untested: Accept = |b| b.state() == BackendState::New;
    let open: Accept = Backend::may_fail_open;
    let tiers =
        [(Serving::Up, up), (Serving::Backup, backup), (Serving::Untested, untested), (Serving::FailOpen, open)];
    for (serving, accept) in tiers.into_iter().filter(|(serving, _)| !(holds && *serving == Serving::Untested)) {
        let backends = pick(&accept);
        if !backends.is_empty() {
            return (serving, backends);
        }
    }
    (Serving::Nobody, Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(weights: &[u64]) -> String {
        let weights: Vec<_> = weights.iter().map(|&weight| Weight::new(weight).unwrap()).collect();
        smooth_turns(&weights).iter().map(|&index| char::from(b'a' + u8::try_from(index).unwrap())).collect()
    }

    #[test]
    fn weights_come_out_smooth_as_in_nginx() {
        #[rustfmt::skip]
        let rows: [(&[u64], &str); 6] = [
            (&[1, 1, 1],    "abc"),
            (&[7, 7],       "ab"),
            (&[5, 1, 1],    "aabacaa"),
            (&[10, 2, 2],   "aabacaa"),
            (&[1, 2],       "bab"),
            (&[],           ""),
        ];
        for (weights, expected) in rows {
            assert_eq!(turns(weights), expected, "{weights:?}");
        }
    }
}
