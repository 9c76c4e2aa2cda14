//! A made-up server under load, and what the gate lets through to it.

use super::super::latencies::Latencies;
use super::*;

const BEAT: Duration = Duration::from_millis(50);

/// A server of so many workers that take `service` each, behind a gate; requests come at `rate` a second.
struct Server {
    gate: OverloadGate,
    now: Instant,
    workers: usize,
    service: Duration,
    /// When the requests that are being worked on end.
    busy: Vec<Instant>,
    /// When those that wait came; a probe waits in the same line.
    line: std::collections::VecDeque<(Instant, bool)>,
    /// Does a probe wait in line, as where a worker answers it.
    probes_queue: bool,
    /// What the health page takes by itself, where it does not wait in line.
    page: Duration,
    latencies: Latencies,
    probe: Option<(Instant, usize)>,
    ended: Option<(Duration, usize)>,
    answers: Vec<(Instant, Duration)>,
    refused: usize,
    owed: f64,
}

impl Server {
    fn new(workers: usize, service_ms: u64, probes_queue: bool) -> Self {
        Self {
            gate: OverloadGate::default(),
            now: Instant::now(),
            workers,
            service: Duration::from_millis(service_ms),
            busy: Vec::new(),
            line: std::collections::VecDeque::new(),
            probes_queue,
            page: Duration::from_millis(2),
            latencies: Latencies::default(),
            probe: None,
            ended: None,
            answers: Vec::new(),
            refused: 0,
            owed: 0.0,
        }
    }

    fn waiting(&self) -> usize {
        self.busy.len() + self.line.iter().filter(|(_, probe)| !probe).count()
    }

    fn serve(&mut self) {
        let now = self.now;
        self.busy.retain(|ends| now < *ends);
        while self.busy.len() < self.workers {
            let Some((came, is_probe)) = self.line.pop_front() else { break };
            if is_probe {
                self.ended = self.probe.take().map(|(began, before)| (now - began, before));
            } else {
                self.busy.push(now + self.service);
                self.answers.push((now + self.service, now + self.service - came));
            }
        }
    }

    fn run(&mut self, seconds: u64, rate: f64) {
        for beat in 0..seconds * 20 {
            for _ in 0..10 {
                self.owed += rate * 0.005;
                while 1.0 <= self.owed {
                    self.owed -= 1.0;
                    if self.waiting() < self.gate.limit() {
                        self.line.push_back((self.now, false));
                    } else {
                        self.refused += 1;
                    }
                }
                self.serve();
                self.now += BEAT / 10;
            }
            if self.probe.is_some_and(|(began, _)| Duration::from_secs(2) < self.now - began) {
                self.line.retain(|(_, is_probe)| !is_probe);
                self.ended = self.probe.take().map(|(_, before)| (Duration::from_secs(2), before));
            }
            let is_over = |(began, _): &(Instant, usize)| self.page <= self.now - *began;
            if !self.probes_queue && self.probe.as_ref().is_some_and(is_over) {
                self.ended = self.probe.take().map(|(_, before)| (self.page, before));
            }
            if let Some((took, before)) = self.ended.filter(|(took, _)| *took < Duration::from_secs(2))
                && before.max(self.waiting()) < if self.gate.is_limiting() { 2 } else { 4 }
            {
                self.latencies.probe_passed(took);
            }
            let lately =
                self.answers.iter().filter(|(at, _)| *at <= self.now && self.now - *at < Duration::from_secs(1));
            let seen = OverloadSample {
                waiting: self.waiting(),
                rate: lately.count() as f64,
                probe_age: self.probe.map(|(began, _)| self.now - began),
                probe_ended: self.ended.take(),
                slow: self.latencies.slow(Duration::from_secs(2)),
                timeout: Duration::from_secs(2),
            };
            let asks = self.gate.step(&seen, self.now) || beat % 40 == 0;
            if asks && self.probe.is_none() {
                self.probe = Some((self.now, seen.waiting));
                if self.probes_queue {
                    self.line.push_back((self.now, true));
                    self.serve();
                }
            }
        }
    }

    /// Answers within a second of their request, as a share of what so many seconds could bring.
    fn in_time(&self, seconds: u64, limit: Duration) -> f64 {
        let answered = self.answers.iter().filter(|(_, took)| *took <= limit).count();
        answered as f64 / (seconds as f64 * self.workers as f64 / self.service.as_secs_f64())
    }
}

#[test]
fn overload_is_shed_and_nothing_of_the_capacity_lost() {
    #[rustfmt::skip]
    let rows = [
        // workers service overload in time, ms  share
        (2,        300,    5.0,     1_500,       0.85),
        (2,        300,    10.0,    1_500,       0.85),
        (4,        300,    5.0,     1_500,       0.85),
        (4,        300,    10.0,    1_500,       0.85),
        (32,       300,    3.0,     1_500,       0.85),
        (32,       3_000,  3.0,     9_000,       0.70),
        (1,        20,     5.0,     1_000,       0.90),
    ];
    for (workers, service_ms, times, limit, share) in rows {
        let what = format!("{workers} workers of {service_ms} ms, {times} times");
        let mut server = Server::new(workers, service_ms, true);
        let capacity = workers as f64 * 1_000.0 / service_ms as f64;
        server.run(3, capacity * 0.5);
        assert_eq!(server.refused, 0, "{what}");
        server.answers.clear();
        server.run(30, capacity * times);
        let reached = server.in_time(30, Duration::from_millis(limit));
        assert!(share <= reached, "{what}: {reached:.2} of the capacity in time");
        assert!(server.gate.is_limiting() && 0 < server.refused, "{what}");
        server.run(service_ms.div_ceil(1_000) + 2, capacity * 0.5);
        assert!(!server.gate.is_limiting(), "{what}: still limited to {}", server.gate.limit());
        let before = server.refused;
        server.run(5, capacity * 0.5);
        assert_eq!(server.refused, before, "{what}");
    }
}

#[test]
fn nothing_is_limited_in_normal_operation() {
    #[rustfmt::skip]
    let rows = [
        // what                                         workers service probes queue  requests/s
        ("a quick server at nine tenths",               2,      10,     true,         180.0),
        ("slow requests within its means",              4,      3_000,  true,         1.2),
        ("long polling on a server with room for it",   10_000, 30_000, true,         100.0),
        ("a queue that its health page does not see",   2,      300,    false,        30.0),
    ];
    for (what, workers, service_ms, probes_queue, rate) in rows {
        let mut server = Server::new(workers, service_ms, probes_queue);
        server.run(60, rate);
        assert_eq!((server.refused, server.gate.is_limiting()), (0, false), "{what}");
    }
}

#[test]
fn a_health_page_that_is_slow_by_itself_is_no_overload_for_long() {
    for (first_ms, then_ms) in [(450, 450), (30, 250), (30, 900)] {
        let mut server = Server::new(10_000, 400, false);
        server.page = Duration::from_millis(first_ms);
        server.run(10, 1.0);
        server.page = Duration::from_millis(then_ms);
        server.run(60, 50.0);
        let before = server.refused;
        server.run(60, 50.0);
        let refused = server.refused - before;
        assert!(!server.gate.is_limiting() && refused == 0, "{first_ms} to {then_ms} ms: {refused} refused");
    }
}

#[test]
fn a_burst_below_the_least_pile_is_served() {
    let mut server = Server::new(2, 1_000, true);
    for _ in 0..15 {
        server.line.push_back((server.now, false));
    }
    server.run(10, 0.5);
    assert_eq!(server.refused, 0);
}
