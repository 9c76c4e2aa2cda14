//! What the kernel says about this process, read when someone looks. A file that is missing leaves the last value.

use std::fs;

use super::list::ProcessList;

/// Linux gives times to user space in hundredths of a second on every architecture (`USER_HZ`).
const TICKS_A_SECOND: f64 = 100.0;

/// Reads memory, threads, file descriptors and processor time from `/proc/self`.
pub(super) fn read(list: &ProcessList) {
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        if let Some(kibibytes) = number_after(&status, "VmRSS:") {
            list.resident_bytes.set(kibibytes * 1024);
        }
        if let Some(threads) = number_after(&status, "Threads:") {
            list.threads.set(threads);
        }
    }
    if let Ok(entries) = fs::read_dir("/proc/self/fd") {
        // One of them is the folder being read.
        list.open_fds.set(i64::try_from(entries.count().saturating_sub(1)).unwrap_or(i64::MAX));
    }
    if let Ok(limits) = fs::read_to_string("/proc/self/limits")
        && let Some(limit) = number_after(&limits, "Max open files")
    {
        list.max_fds.set(limit);
    }
    if let Ok(stat) = fs::read_to_string("/proc/self/stat")
        && let Some(ticks) = cpu_ticks(&stat)
    {
        list.cpu_seconds.reset();
        list.cpu_seconds.inc_by(ticks / TICKS_A_SECOND);
    }
}

/// The number that follows `name` at the start of a line.
fn number_after(text: &str, name: &str) -> Option<i64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// User and system time: the 14th and 15th field of proc_pid_stat(5); the 2nd, a name in parentheses, may hold anything.
fn cpu_ticks(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_files_are_understood() {
        assert_eq!(number_after("Name:\tremora\nVmRSS:\t   10240 kB\nThreads:\t5\n", "VmRSS:"), Some(10_240));
        let limits = "Max open files            1024                 524288               files\n";
        assert_eq!(number_after(limits, "Max open files"), Some(1024));
        assert_eq!(number_after("Max open files   unlimited", "Max open files"), None);
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 5 0 100 1 1";
        assert_eq!(cpu_ticks(stat), Some(300.0));
        assert_eq!(cpu_ticks("7 (a)"), None);
    }
}
