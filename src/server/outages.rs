//! When all backends of an upstream are down, and for long enough to be told. Pure: shown the upstreams, told the time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long nobody must be up: what a heal or a restart mends sooner wakes nobody.
const DOWN_FOR: Duration = Duration::from_secs(5);
/// The same for one of which nobody has been up yet: a stack starts in any order.
const FIRST_FOR: Duration = Duration::from_secs(60);

/// What was seen of every upstream.
#[derive(Debug, Default)]
pub(super) struct Outages(HashMap<String, SeenUpstream>);

#[derive(Debug)]
struct SeenUpstream {
    /// One of its backends has been up.
    has_served: bool,
    down_since: Option<Instant>,
    is_told: bool,
    is_there: bool,
}

/// How an upstream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// A backend is up.
    Up,
    /// None is up, and one has not been probed yet.
    Unknown,
    /// None is up.
    Down,
}

/// What is to be told of an upstream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum OutageChange {
    /// It is down.
    Began,
    /// It is up.
    Ended,
    /// It is not configured any more.
    Gone,
}

impl Outages {
    /// Looks at every upstream there is.
    pub(super) fn look<'n>(
        &mut self,
        upstreams: impl Iterator<Item = (&'n str, Standing)>,
        now: Instant,
    ) -> Vec<(String, OutageChange)> {
        let mut changes = Vec::new();
        self.0.values_mut().for_each(|seen| seen.is_there = false);
        for (name, standing) in upstreams {
            if !self.0.contains_key(name) {
                let seen = SeenUpstream { has_served: false, down_since: None, is_told: false, is_there: true };
                self.0.insert(name.to_owned(), seen);
            }
            let Some(seen) = self.0.get_mut(name) else { continue };
            seen.is_there = true;
            changes.extend(seen.look(standing, now).map(|change| (name.to_owned(), change)));
        }
        let gone = self.0.extract_if(|_, seen| !seen.is_there);
        changes.extend(gone.filter(|(_, seen)| seen.is_told).map(|(name, _)| (name, OutageChange::Gone)));
        changes
    }
}

impl SeenUpstream {
    fn look(&mut self, standing: Standing, now: Instant) -> Option<OutageChange> {
        match standing {
            Standing::Up => {
                (self.has_served, self.down_since) = (true, None);
                std::mem::take(&mut self.is_told).then_some(OutageChange::Ended)
            }
            Standing::Unknown => None,
            Standing::Down => {
                let since = *self.down_since.get_or_insert(now);
                let least = if self.has_served { DOWN_FOR } else { FIRST_FOR };
                let is_news = !self.is_told && least <= now.saturating_duration_since(since);
                self.is_told |= is_news;
                is_news.then_some(OutageChange::Began)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use OutageChange::{Began, Ended, Gone};
    use Standing::{Down, Unknown, Up};

    /// The changes of one upstream that stands so in each second, with the second; `None` is an upstream that is not there.
    fn changes(standings: &[(usize, Option<Standing>)]) -> Vec<(u64, OutageChange)> {
        let (mut outages, start) = (Outages::default(), Instant::now());
        let seconds = standings.iter().flat_map(|(count, standing)| std::iter::repeat_n(*standing, *count));
        let mut found = Vec::new();
        for (second, standing) in (0..).zip(seconds) {
            let seen = standing.map(|standing| ("api", standing));
            let changed = outages.look(seen.into_iter(), start + Duration::from_secs(second));
            found.extend(changed.into_iter().map(|(_, change)| (second, change)));
        }
        found
    }

    #[test]
    fn what_lasts_is_told_once() {
        type Row = (&'static [(usize, Option<Standing>)], &'static [(u64, OutageChange)]);
        #[rustfmt::skip]
        let rows: [Row; 7] = [
            (&[(3, Some(Up)), (60, Some(Down)), (9, Some(Up))],   &[(8, Began), (63, Ended)]),
            (&[(3, Some(Up)), (4, Some(Down)), (9, Some(Up))],    &[]),
            (&[(50, Some(Down)), (9, Some(Up))],                  &[]),
            (&[(99, Some(Down))],                                 &[(60, Began)]),
            (&[(99, Some(Unknown))],                              &[]),
            (&[(1, Some(Up)), (3, Some(Down)), (2, Some(Unknown)), (9, Some(Down))], &[(6, Began)]),
            (&[(1, Some(Up)), (9, Some(Down)), (9, None)],        &[(6, Began), (10, Gone)]),
        ];
        for (standings, expected) in rows {
            assert_eq!(changes(standings), expected, "{standings:?}");
        }
    }
}
