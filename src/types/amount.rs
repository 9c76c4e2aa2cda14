//! Amounts with units: durations, sizes, shares, weights.

use std::fmt;
use std::time::Duration;

/// Why a text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAmount {
    /// Not a duration.
    #[error("`{0}` is not a duration; write a number and a unit: `500ms`, `2s`, `10m`, `1h`")]
    Duration(String),
    /// Not a size.
    #[error("`{0}` is not a size; write a number and a unit: `512B`, `64KiB`, `10MiB`, `1GiB`")]
    Size(String),
    /// Not a percentage.
    #[error("`{0}` is not a percentage; write `0%` to `100%`")]
    Percent(String),
}

/// Whole milliseconds, as JSON carries them.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Parses `500ms`, `2s`, `1.5s`, `10m`, `1h`, `1d`. A bare `0` is allowed; any other number needs its unit.
///
/// # Errors
/// When the number or the unit is missing, or the amount exceeds 365 days.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidAmount> {
    let invalid = || InvalidAmount::Duration(text.into());
    let (number, unit) = split_unit(text);
    let seconds_a_unit = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        "" if number == "0" => 0.0,
        _ => return Err(invalid()),
    };
    let seconds = number.parse::<f64>().map_err(|_| invalid())? * seconds_a_unit;
    if !(0.0..=365.0 * 86_400.0).contains(&seconds) {
        return Err(invalid());
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| invalid())
}

/// Splits `10m` into `10` and `m`; the number is digits with at most one point.
fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

/// A number of bytes. `K`, `M`, `G` and `KiB`, `MiB`, `GiB` are powers of 1024 (as in nginx); `KB`, `MB`, `GB` of 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// Parses `0`, `512B`, `64KiB`, `10m`, `1GB`.
    ///
    /// # Errors
    /// When the number is not whole, the unit is missing or unknown, or it exceeds 64 bits.
    pub fn parse(text: &str) -> Result<Self, InvalidAmount> {
        let invalid = || InvalidAmount::Size(text.into());
        let (number, unit) = split_unit(text);
        let bytes_a_unit: u64 = match unit.to_ascii_lowercase().as_str() {
            "b" => 1,
            "k" | "kib" => 1 << 10,
            "m" | "mib" => 1 << 20,
            "g" | "gib" => 1 << 30,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "" if number == "0" => 1,
            _ => return Err(invalid()),
        };
        let number: u64 = number.parse().map_err(|_| invalid())?;
        number.checked_mul(bytes_a_unit).map(Self).ok_or_else(invalid)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bytes) = *self;
        for (unit, size) in [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if bytes != 0 && bytes.is_multiple_of(size) {
                return write!(f, "{}{unit}", bytes / size);
            }
        }
        write!(f, "{bytes}B")
    }
}

/// A share from 0 to 100 percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(pub u8);

impl Percent {
    /// Parses `20%`.
    ///
    /// # Errors
    /// When the sign is missing or the number is not a whole 0 to 100.
    pub fn parse(text: &str) -> Result<Self, InvalidAmount> {
        let number = text.strip_suffix('%').and_then(|number| number.trim_end().parse::<u8>().ok());
        match number {
            Some(number) if number <= 100 => Ok(Self(number)),
            _ => Err(InvalidAmount::Percent(text.into())),
        }
    }
}

/// The share of a server relative to its siblings: 1 to 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u16);

impl Weight {
    /// The weight of a server that names none.
    pub const ONE: Self = Self(1);

    /// A weight, where it is 1 to 1000.
    pub fn new(weight: u64) -> Option<Self> {
        u16::try_from(weight).ok().filter(|weight| (1..=1000).contains(weight)).map(Self)
    }

    /// The weight as a number.
    pub fn get(self) -> u16 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_carry_units() {
        #[rustfmt::skip]
        let rows = [("500ms", 500), ("2s", 2_000), ("1.5s", 1_500), ("10m", 600_000), ("1h", 3_600_000), ("1d", 86_400_000), ("0", 0), ("0s", 0)];
        for (text, millis) in rows {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        for text in ["", "5", "s", "-1s", "1x", "1..5s", "9999999d", "1 0s", "NaNs"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_carry_units() {
        let rows = [("0", 0), ("512B", 512), ("64KiB", 65_536), ("10m", 10_485_760), ("1GB", 1_000_000_000)];
        for (text, bytes) in rows {
            assert_eq!(ByteSize::parse(text).unwrap(), ByteSize(bytes), "{text}");
        }
        for text in ["", "10", "1.5m", "-1m", "10x", "99999999999999999999g"] {
            assert!(ByteSize::parse(text).is_err(), "{text}");
        }
        assert_eq!(ByteSize(10 << 20).to_string(), "10MiB");
    }

    #[test]
    fn shares_and_weights_are_bounded() {
        assert_eq!(Percent::parse("20%").unwrap(), Percent(20));
        assert!(Percent::parse("20").is_err() && Percent::parse("101%").is_err());
        assert!(Weight::new(0).is_none() && Weight::new(1001).is_none());
        assert_eq!(Weight::new(5).map(Weight::get), Some(5));
    }
}
