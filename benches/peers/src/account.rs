//! What a process and its children used, as the kernel counts it.

use std::collections::HashMap;
use std::fs;

/// Length of a tick in /proc/PID/stat, nanoseconds; Linux shows all architectures 100 a second.
const TICK_NS: u64 = 10_000_000;

/// Processor time since the start of a process tree.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    /// Nanoseconds of each live thread, from the scheduler.
    threads: HashMap<u32, u64>,
    /// Nanoseconds of the live processes, ended threads included, to the tick.
    ticks: u64,
}

impl Usage {
    /// Reads the usage of a process and its descendants.
    pub fn of(root: u32) -> Self {
        let mut usage = Self::default();
        for pid in tree(root) {
            let (_, ticks) = stat(pid).unwrap_or_default();
            usage.ticks += ticks * TICK_NS;
            for entry in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
                let Some(thread) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
                if let Some(spent) = first_number(&entry.path().join("schedstat")) {
                    usage.threads.insert(thread, spent);
                }
            }
        }
        usage
    }

    /// Nanoseconds each thread used since `before`, the busiest first.
    pub fn threads_since(&self, before: &Self) -> Vec<u64> {
        let spent = |(thread, now): (&u32, &u64)| now.saturating_sub(before.threads.get(thread).copied().unwrap_or(0));
        let mut all: Vec<u64> = self.threads.iter().map(spent).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        all
    }

    /// Nanoseconds used since `before`: by the scheduler's count, or by ticks where that is not kept or threads ended.
    pub fn since(&self, before: &Self) -> u64 {
        let ended = before.threads.keys().any(|thread| !self.threads.contains_key(thread));
        if self.threads.is_empty() || ended {
            return self.ticks_since(before);
        }
        self.threads_since(before).iter().sum()
    }

    /// The same by ticks alone.
    pub fn ticks_since(&self, before: &Self) -> u64 {
        self.ticks.saturating_sub(before.ticks)
    }
}

/// Resident memory of a process tree, bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Pages in memory; what processes share counts for each.
    pub rss: u64,
    /// The same, but shared pages are divided among those who share them.
    pub pss: u64,
}

impl Memory {
    /// Reads the memory of a process and its descendants.
    pub fn of(root: u32) -> Self {
        let mut memory = Self::default();
        for pid in tree(root) {
            let Ok(text) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else { continue };
            let kib = |name: &str| -> u64 {
                let line = text.lines().find_map(|line| line.strip_prefix(name));
                line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
            };
            memory.rss += kib("Rss:") * 1024;
            memory.pss += kib("Pss:") * 1024;
        }
        memory
    }
}

/// Ticks each core was idle, and in all, since the machine started.
pub fn cores() -> Vec<(u64, u64)> {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let per_core = text.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu "));
    per_core
        .map(|line| {
            let fields: Vec<u64> = line.split_whitespace().skip(1).take(8).filter_map(|f| f.parse().ok()).collect();
            (fields.get(3).unwrap_or(&0) + fields.get(4).unwrap_or(&0), fields.iter().sum())
        })
        .collect()
}

/// A process and its descendants.
pub fn tree(root: u32) -> Vec<u32> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parents: Vec<(u32, u32)> = pids.filter_map(|pid| Some((pid, stat(pid)?.0))).collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found
}

/// The parent of a process, and the ticks it used.
fn stat(pid: u32) -> Option<(u32, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, spaces too.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some((fields.get(1)?.parse().ok()?, ticks))
}

fn first_number(path: &std::path::Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheduler_and_the_ticks_agree() {
        let own = std::process::id();
        let before = Usage::of(own);
        let start = std::time::Instant::now();
        let mut sum = 0_u64;
        while Usage::of(own).ticks_since(&before) < 30 * TICK_NS {
            sum = (0..100_000).fold(sum, |sum, next| std::hint::black_box(sum.wrapping_add(next)));
            assert!(start.elapsed().as_secs() < 60, "no ticks are counted");
        }
        let now = Usage::of(own);
        let (precise, coarse) = (now.since(&before), now.ticks_since(&before));
        assert!(precise.abs_diff(coarse) <= 3 * TICK_NS, "{precise} against {coarse}");
    }

    #[test]
    fn memory_is_counted() {
        assert!(1 << 20 < Memory::of(std::process::id()).rss);
    }
}
