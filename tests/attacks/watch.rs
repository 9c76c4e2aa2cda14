//! What an attack does to everybody else: are new clients served, and what do memory and processor time come to.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::harness::{TestEdge, Wire};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const EVERY: Duration = Duration::from_millis(50);

/// A look at an edge under attack.
pub struct Watch<'a> {
    edge: &'a TestEdge,
    start: Instant,
    cpu: Duration,
    before: usize,
    samples: Arc<Mutex<Vec<Sample>>>,
    clients: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    took: Duration,
    served: bool,
    resident_mib: usize,
}

/// What came of it.
#[derive(Debug)]
pub struct Harm {
    pub clients: usize,
    pub failed: usize,
    pub median: Duration,
    pub worst: Duration,
    /// Resident memory at the start, at its highest, and after the attack.
    pub before_mib: usize,
    pub highest_mib: usize,
    pub after_mib: usize,
    /// Growth in the second half of the attack.
    pub late_growth_mib: usize,
    /// Processor time for each second.
    pub cpu: f64,
}

impl fmt::Display for Harm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} new clients, {} failed, median {:?}, worst {:?}; memory {} -> {} -> {} MiB; {:.2} s of processor time a second",
            self.clients,
            self.failed,
            self.median,
            self.worst,
            self.before_mib,
            self.highest_mib,
            self.after_mib,
            self.cpu
        )
    }
}

/// Processor time of a process so far.
fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // USER_HZ is 100 wherever Linux runs.
    Duration::from_millis(ticks * 10)
}

impl<'a> Watch<'a> {
    /// Sends a new client every 50 ms until [`end`](Self::end).
    pub fn start(edge: &'a TestEdge) -> Self {
        let samples = Arc::new(Mutex::new(Vec::new()));
        let (sink, address, pid) = (Arc::clone(&samples), edge.address, edge.pid());
        let clients = tokio::spawn(async move {
            loop {
                let start = Instant::now();
                let answer = tokio::time::timeout(Duration::from_secs(5), async {
                    Wire::saying(address, GET).await.try_answer().await
                });
                let served = matches!(answer.await, Ok(Some(answer)) if answer.status() == 200);
                let resident_mib = resident_mib(pid);
                sink.lock().unwrap().push(Sample { took: start.elapsed(), served, resident_mib });
                tokio::time::sleep(EVERY).await;
            }
        });
        let before = edge.resident_mib();
        Self { edge, start: Instant::now(), cpu: cpu_time(edge.pid()), before, samples, clients }
    }

    /// Sums up.
    pub fn end(self) -> Harm {
        self.clients.abort();
        let cpu = (cpu_time(self.edge.pid()) - self.cpu).as_secs_f64() / self.start.elapsed().as_secs_f64();
        let samples = self.samples.lock().unwrap().clone();
        assert!(!samples.is_empty(), "nobody asked for anything");
        let mut took: Vec<_> = samples.iter().map(|sample| sample.took).collect();
        took.sort();
        let highest = |part: &[Sample]| part.iter().map(|sample| sample.resident_mib).max().unwrap_or(self.before);
        let (early, late) = samples.split_at(samples.len() / 2);
        Harm {
            clients: samples.len(),
            failed: samples.iter().filter(|sample| !sample.served).count(),
            median: took[took.len() / 2],
            worst: took[took.len() - 1],
            before_mib: self.before,
            highest_mib: highest(&samples),
            after_mib: self.edge.resident_mib(),
            late_growth_mib: highest(late).saturating_sub(highest(early)),
            cpu,
        }
    }
}

fn resident_mib(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() / 1024
}
