//! Single values: amounts with units and bounds, and texts that a type of `types` parses.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::types::{ByteSize, Percent, parse_duration};

use super::super::problem::{Problem, Problems};
use super::super::read::{Item, text};
use super::super::words::{nearest, quoted};

/// Bounds of a duration in milliseconds, written as products of these.
pub(super) const MS: u64 = 1;
pub(super) const SECOND: u64 = 1_000 * MS;
pub(super) const MINUTE: u64 = 60 * SECOND;
pub(super) const HOUR: u64 = 60 * MINUTE;

/// A duration within bounds in milliseconds.
pub(super) fn duration(
    item: Option<Item>,
    bounds: RangeInclusive<u64>,
    default: Duration,
    problems: &mut Problems,
) -> Option<Duration> {
    let Some(item) = item else { return Some(default) };
    let text = text(&item, problems)?;
    let Ok(found) = parse_duration(&text) else { return problems.add(not_duration(&item, &text)) };
    let (least, most) = (Duration::from_millis(*bounds.start()), Duration::from_millis(*bounds.end()));
    if (least..=most).contains(&found) {
        return Some(found);
    }
    let message =
        format!("{} is {}; it must be {} to {}", quoted(item.place.name()), quoted(&text), brief(least), brief(most));
    problems.add(Problem::new(&item.place, message))
}

fn not_duration(item: &Item, text: &str) -> Problem {
    let name = quoted(item.place.name());
    let number: String = text.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let unit = text.get(number.len()..).unwrap_or_default().trim().to_ascii_lowercase();
    let unit = match unit.as_str() {
        "sec" | "secs" | "second" | "seconds" => "s",
        "min" | "mins" | "minute" | "minutes" => "m",
        "msec" | "millis" | "millisecond" | "milliseconds" => "ms",
        "hr" | "hrs" | "hour" | "hours" => "h",
        "day" | "days" => "d",
        "" if !number.is_empty() => {
            let problem = Problem::new(&item.place, format!("{name} is {}, a number without a unit", quoted(text)));
            return problem.help(format!("write `{number}s` for seconds; the units are ms, s, m, h and d"));
        }
        _ => "",
    };
    let problem = Problem::new(&item.place, format!("{name} is {}, which is not a duration", quoted(text)));
    if unit.is_empty() || number.is_empty() {
        return problem.help("write a number and a unit: `500ms`, `2s`, `10m`, `1h`");
    }
    problem.help(format!("write `{number}{unit}`"))
}

/// `90s` as `90s`, `120s` as `2m`: in the largest unit that leaves no rest.
pub(super) fn brief(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (unit, size) in [("h", HOUR), ("m", MINUTE), ("s", SECOND)] {
        if millis != 0 && millis.is_multiple_of(u128::from(size)) {
            return format!("{}{unit}", millis / u128::from(size));
        }
    }
    if millis == 0 { "0".into() } else { format!("{millis}ms") }
}

/// A size up to a bound.
pub(super) fn size(item: Option<Item>, most: ByteSize, default: ByteSize, problems: &mut Problems) -> Option<ByteSize> {
    size_within(item, ByteSize(0)..=most, default, problems)
}

/// A size within bounds.
pub(super) fn size_within(
    item: Option<Item>,
    bounds: RangeInclusive<ByteSize>,
    default: ByteSize,
    problems: &mut Problems,
) -> Option<ByteSize> {
    let Some(item) = item else { return Some(default) };
    let text = text(&item, problems)?;
    let name = quoted(item.place.name());
    match ByteSize::parse(&text) {
        Ok(found) if bounds.contains(&found) => Some(found),
        Ok(_) => {
            let least = if bounds.start().0 == 0 { "0".into() } else { bounds.start().to_string() };
            let range = format!("it must be {least} to {}", bounds.end());
            problems.add(Problem::new(&item.place, format!("{name} is {}; {range}", quoted(&text))))
        }
        Err(_) if text.parse::<u64>().is_ok() => {
            let problem = Problem::new(&item.place, format!("{name} is {}, a number without a unit", quoted(&text)));
            let bytes = ByteSize(text.parse().unwrap_or_default());
            problems.add(problem.help(format!("write `{bytes}`; the units are B, KiB, MiB and GiB")))
        }
        Err(_) => {
            let problem = Problem::new(&item.place, format!("{name} is {}, which is not a size", quoted(&text)));
            problems.add(problem.help("write a whole number and a unit: `512B`, `64KiB`, `10MiB`, `1GiB`"))
        }
    }
}

/// A share of 0 to 100 percent.
pub(super) fn percent(item: Option<Item>, default: Percent, problems: &mut Problems) -> Option<Percent> {
    let Some(item) = item else { return Some(default) };
    let text = text(&item, problems)?;
    match Percent::parse(&text) {
        Ok(found) => Some(found),
        Err(_) => {
            let message = format!("{} is {}, which is not a percentage", quoted(item.place.name()), quoted(&text));
            let help = match text.parse::<f64>() {
                Ok(share) if share < 1.0 && 0.0 < share => format!("write `{}%`", (share * 100.0).round()),
                Ok(share) if (1.0..=100.0).contains(&share) => format!("write `{}%`", share.round()),
                Ok(_) | Err(_) => "write `0%` to `100%`".to_owned(),
            };
            problems.add(Problem::new(&item.place, message).help(help))
        }
    }
}

/// A whole number within bounds.
pub(super) fn number(
    item: Option<Item>,
    bounds: RangeInclusive<u64>,
    default: u64,
    problems: &mut Problems,
) -> Option<u64> {
    let Some(item) = item else { return Some(default) };
    let text = text(&item, problems)?;
    match text.parse::<u64>() {
        Ok(found) if bounds.contains(&found) => Some(found),
        Ok(_) | Err(_) => {
            let name = quoted(item.place.name());
            let range = format!("it must be a whole number from {} to {}", bounds.start(), bounds.end());
            problems.add(Problem::new(&item.place, format!("{name} is {}; {range}", quoted(&text))))
        }
    }
}

/// As [`number`], for the model's smaller type.
pub(super) fn number32(
    item: Option<Item>,
    bounds: RangeInclusive<u32>,
    default: u32,
    problems: &mut Problems,
) -> Option<u32> {
    let bounds = u64::from(*bounds.start())..=u64::from(*bounds.end());
    number(item, bounds, u64::from(default), problems).and_then(|found| u32::try_from(found).ok())
}

/// A whole number within bounds, or `auto`, which is `None` here.
pub(super) fn auto_or(
    item: Option<Item>,
    bounds: RangeInclusive<u64>,
    problems: &mut Problems,
) -> Option<Option<usize>> {
    let Some(item) = item else { return Some(None) };
    let text = text(&item, problems)?;
    if text == "auto" {
        return Some(None);
    }
    match text.parse::<u64>() {
        Ok(_) => number(Some(item), bounds, 0, problems).and_then(|found| usize::try_from(found).ok()).map(Some),
        Err(_) => {
            let message = format!("{} is {}, which is not a whole number", quoted(item.place.name()), quoted(&text));
            let help = format!("write `auto` or {} to {}", bounds.start(), bounds.end());
            problems.add(Problem::new(&item.place, message).help(help))
        }
    }
}

/// A text that `parse` understands; its error says what to write.
pub(super) fn parsed<T, E: Display>(
    item: &Item,
    parse: impl FnOnce(&str) -> Result<T, E>,
    problems: &mut Problems,
) -> Option<T> {
    let text = text(item, problems)?;
    parse(&text).map_or_else(|error| problems.tell(&item.place, &error), Some)
}

/// A key that must be there. One that is misspelt or without a value has been told already.
pub(super) fn required(
    item: Option<Item>,
    key: &str,
    of: &Item,
    example: &str,
    problems: &mut Problems,
) -> Option<Item> {
    if item.is_none() && !of.entries().iter().any(|(written, _)| nearest(written, [key]).is_some()) {
        let problem = Problem::new(&of.place.of_key(), format!("{} has no {}", of.place.shown(), quoted(key)));
        problems.add::<()>(problem.help(format!("add {example}")));
    }
    item
}

/// Every item that could be read, or `None` where one could not: its problem is recorded.
pub(super) fn all<T>(found: Vec<Option<T>>) -> Option<Vec<T>> {
    found.into_iter().collect()
}
