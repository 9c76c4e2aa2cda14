//! What the loads print, read.

use anyhow::{Context, ensure};

use crate::results::Metric;

/// What our own loads say beside counts.
const MORE: [(&str, Metric); 7] = [
    ("p50", Metric::P50),
    ("p99", Metric::P99),
    ("p999", Metric::P999),
    ("post_first", Metric::PostFirst),
    ("post_last", Metric::PostLast),
    ("get_first", Metric::GetFirst),
    ("get_last", Metric::GetLast),
];

/// What came of a load.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Answers that were as they should be.
    pub requests: f64,
    /// Seconds it ran.
    pub seconds: f64,
    /// Broken connections, timeouts, and answers that are not 2xx.
    pub errors: u64,
    /// What else the load measured.
    pub more: Vec<(Metric, f64)>,
}

/// Reads `  352346 requests in 4.00s, 101.2MB read`, `Socket errors: connect 0, read 0, …` and `Non-2xx …: 12`.
pub fn of_wrk(output: &str) -> anyhow::Result<Outcome> {
    let line = output.lines().find(|line| line.contains(" requests in ")).context("wrk gave no count")?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let all: f64 = words.first().context("wrk gave no count")?.parse()?;
    let seconds = wrk_seconds(words.get(3).context("wrk gave no time")?.trim_end_matches(','))?;
    let refused = output.lines().find_map(|line| line.trim().strip_prefix("Non-2xx or 3xx responses: "));
    let refused: u64 = refused.map_or(Ok(0), str::parse)?;
    let broken = output.lines().find_map(|line| line.trim().strip_prefix("Socket errors: ")).unwrap_or_default();
    let broken: u64 = broken.split([' ', ',']).filter_map(|word| word.parse::<u64>().ok()).sum();
    Ok(Outcome { requests: all - refused as f64, seconds, errors: refused + broken, more: Vec::new() })
}

fn wrk_seconds(text: &str) -> anyhow::Result<f64> {
    let (number, factor) = if let Some(number) = text.strip_suffix("ms") {
        (number, 0.001)
    } else if let Some(number) = text.strip_suffix('m') {
        (number, 60.0)
    } else {
        (text.trim_end_matches('s'), 1.0)
    };
    Ok(number.parse::<f64>().with_context(|| format!("wrk's time `{text}`"))? * factor)
}

/// Reads `finished in 4.00s, …` and `requests: 9 total, 9 started, 9 done, 8 succeeded, 1 failed, 0 errored, 0 timeout`.
pub fn of_h2load(output: &str) -> anyhow::Result<Outcome> {
    // Where a server does not offer HTTP/2, h2load speaks HTTP/1.1 without a word.
    let protocol = output.lines().find_map(|line| line.strip_prefix("Application protocol: "));
    ensure!(protocol.is_none_or(|protocol| protocol.starts_with("h2")), "{} was spoken", protocol.unwrap_or_default());
    let seconds = output.lines().find_map(|line| line.strip_prefix("finished in ")).context("h2load gave no time")?;
    let seconds = wrk_seconds(seconds.split(',').next().unwrap_or_default())?;
    let line = output.lines().find_map(|line| line.strip_prefix("requests: ")).context("h2load gave no count")?;
    let count = |name: &str| -> anyhow::Result<u64> {
        let part = line.split(", ").find_map(|part| part.strip_suffix(name)).context("h2load's count")?;
        Ok(part.trim().parse()?)
    };
    let errors = count("failed")? + count("timeout")?;
    Ok(Outcome { requests: count("succeeded")? as f64, seconds, errors, more: Vec::new() })
}

/// Reads `requests=N errors=N seconds=N`.
pub fn of_own(output: &str) -> anyhow::Result<Outcome> {
    let find = |name: &str| {
        let pair = output.split_whitespace().find_map(|word| word.split_once('=').filter(|(key, _)| *key == name));
        pair.map(|(_, value)| value)
    };
    let value = |name: &str| find(name).with_context(|| format!("the load gave no {name}"));
    Ok(Outcome {
        requests: value("requests")?.parse()?,
        seconds: value("seconds")?.parse()?,
        errors: value("errors")?.parse()?,
        more: MORE.iter().filter_map(|&(name, metric)| Some((metric, find(name)?.parse().ok()?))).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_wrk_is_read() {
        let clean = "Running 4s test\n  52 requests in 4.10s, 1.2MB read\nRequests/sec:  12.68\n";
        assert_eq!(of_wrk(clean).unwrap(), Outcome { requests: 52.0, seconds: 4.1, errors: 0, more: vec![] });
        let broken = "  52 requests in 1.50m, 1MB read\n  Socket errors: connect 1, read 2, write 0, timeout 3\n  \
                      Non-2xx or 3xx responses: 12\n";
        assert_eq!(of_wrk(broken).unwrap(), Outcome { requests: 40.0, seconds: 90.0, errors: 18, more: vec![] });
        assert!(of_wrk("unable to connect").is_err());
    }

    #[test]
    fn the_output_of_h2load_is_read() {
        let output = "Application protocol: h2\nfinished in 4.00s, 2.25 req/s, 1KB/s\n\
                      requests: 12 total, 11 started, 10 done, 9 succeeded, 1 failed, 1 errored, 0 timeout\n";
        assert_eq!(of_h2load(output).unwrap(), Outcome { requests: 9.0, seconds: 4.0, errors: 1, more: vec![] });
        assert!(of_h2load(&output.replace("protocol: h2", "protocol: http/1.1")).is_err());
    }

    #[test]
    fn the_output_of_our_own_loads_is_read() {
        let outcome = of_own("requests=9 errors=1 seconds=4.5 get_last=7 p99=0.25\n").unwrap();
        let more = vec![(Metric::P99, 0.25), (Metric::GetLast, 7.0)];
        assert_eq!(outcome, Outcome { requests: 9.0, seconds: 4.5, errors: 1, more });
    }
}
