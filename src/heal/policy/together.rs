//! What upstreams that fall sick together have in common: one that explains the others, or nothing but the way to them. Pure.

use std::time::Instant;

use crate::types::UpstreamName;

use super::pauses::TOGETHER;

/// One upstream, as far as a shared cause is concerned.
#[derive(Debug, Clone, Copy)]
pub struct PoolView<'a> {
    /// Its name.
    pub name: &'a UpstreamName,
    /// What it needs.
    pub needs: &'a [UpstreamName],
    /// Backends with a check.
    pub checked: usize,
    /// Those that are sick.
    pub sick: usize,
    /// When the first and the last of them fell sick.
    pub fell: Option<(Instant, Instant)>,
    /// How it fails, and who asks it.
    pub symptoms: Symptoms,
}

/// What tells a cause from what it causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symptoms {
    /// It answers its check, if with an error: it lives, and so does the network.
    pub answers: bool,
    /// Requests of clients lead to it.
    pub routed: bool,
}

impl Symptoms {
    /// True where one that is silent may be why the other fails: the other lives and says so, or is one that clients ask,
    /// and this one is not, such as a database.
    pub fn may_explain(self, other: Self) -> bool {
        !self.answers && (other.answers || (other.routed && !self.routed))
    }
}

impl PoolView<'_> {
    /// When the last of its backends fell, where all of them are sick.
    fn fell_whole(&self) -> Option<Instant> {
        let (_, last) = self.fell.filter(|_| self.checked != 0 && self.sick == self.checked)?;
        Some(last)
    }
}

/// The upstream that explains why all of `pool` turned sick within moments: one that is silent, and fell in the same moments.
///
/// What falls sick together has one cause, whether or not the file says so with `needs`.
pub fn cause_of<'a>(pool: &PoolView<'_>, pools: &[PoolView<'a>]) -> Option<&'a UpstreamName> {
    let last = pool.fell_whole()?;
    let (first, _) = pool.fell?;
    if TOGETHER < last.saturating_duration_since(first) {
        return None;
    }
    let is_cause = |other: &&PoolView<'a>| {
        let fell_too = other
            .fell_whole()
            .is_some_and(|at| at.saturating_duration_since(last).max(last.saturating_duration_since(at)) <= TOGETHER);
        other.name != pool.name
            && fell_too
            && other.symptoms.may_explain(pool.symptoms)
            && !other.needs.contains(pool.name)
    };
    pools.iter().find(is_cause).map(|other| other.name)
}

/// Since when every checked upstream is sick, if they fell together and none explains another.
///
/// Then it is the network, the host or the edge itself. A dead database with all that needs it is not that: there is one
/// root, and it is healed. Nor is it where one upstream answers that it fails, and a silent one explains that: the way to it
/// works.
pub fn everything_sick(pools: &[PoolView<'_>]) -> Option<Instant> {
    let checked: Vec<_> = pools.iter().filter(|pool| pool.checked != 0).collect();
    if checked.iter().any(|pool| pool.sick < pool.checked) {
        return None;
    }
    if checked.iter().any(|pool| pool.symptoms.answers && cause_of(pool, pools).is_some()) {
        return None;
    }
    let explains = |need: &UpstreamName| checked.iter().any(|pool| pool.name == need);
    let roots = checked.iter().filter(|pool| !pool.needs.iter().any(explains));
    let since: Vec<Instant> = roots.filter_map(|pool| pool.fell.map(|(_, last)| last)).collect();
    let (first, last) = (since.iter().min()?, since.iter().max()?);
    (2 <= since.len() && last.saturating_duration_since(*first) <= TOGETHER).then_some(*last)
}
