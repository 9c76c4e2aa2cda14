//! Medians, and ratios of rounds.

/// The middle value; of an even number the mean of the two in the middle. `None` where there are none.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        count if count % 2 == 1 => Some(sorted[middle]),
        _ => Some(sorted[middle - 1].midpoint(sorted[middle])),
    }
}

/// A ratio over rounds: each round's own, so that the drift between rounds falls out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// The middle of the rounds.
    pub median: f64,
    /// The least of the rounds.
    pub least: f64,
    /// The most of the rounds.
    pub most: f64,
}

impl Ratio {
    /// Divides round by round. `None` where a round is missing on either side.
    pub fn paired(ours: &[f64], theirs: &[f64]) -> Option<Self> {
        if ours.len() != theirs.len() {
            return None;
        }
        let rounds: Vec<f64> = ours.iter().zip(theirs).map(|(our, their)| our / their).collect();
        let least = rounds.iter().copied().min_by(f64::total_cmp)?;
        let most = rounds.iter().copied().max_by(f64::total_cmp)?;
        Some(Self { median: median(&rounds)?, least, most })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_value_stands_for_all() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let ratio = Ratio::paired(&[10.0, 30.0, 22.0], &[10.0, 20.0, 20.0]);
        assert_eq!(ratio, Some(Ratio { median: 1.1, least: 1.0, most: 1.5 }));
        assert_eq!(Ratio::paired(&[1.0], &[]), None);
    }
}
