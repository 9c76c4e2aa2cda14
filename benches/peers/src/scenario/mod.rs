//! What is measured.

mod list;

pub use list::all;

use crate::load::Load;
use crate::peer::{Kind, Peer, Routes, Traffic};

/// One table of the results.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name in `ONLY`, and of its chart.
    pub name: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// How requests are made.
    pub load: Load,
    /// What the origin is asked for; see `answer()`.
    pub answer: &'static str,
    /// Clients come over TLS 1.3.
    pub tls: bool,
    /// What proxies are tuned for.
    pub traffic: Traffic,
    /// Who takes part.
    pub field: Field,
    /// What differs between the cases.
    pub vary: Vary,
    /// Requests per second at which latencies are taken.
    pub latency: Rate,
    /// A backend is asked about each request before it goes on.
    pub auth: bool,
    /// In a network namespace of its own, each proxy with a backend at an address that is not 127/8 and nobody else's.
    pub isolated: bool,
    /// Remora's full lane alone.
    pub full_lane: bool,
    /// Proxy, load and origin share all cores, with two workers each proxy.
    pub unpinned: bool,
    /// What Remora is to reach.
    pub target: Target,
}

/// Who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Every proxy in every style.
    Everyone,
    /// Remora, and nginx and HAProxy where they are tuned; nginx with and without its log.
    Close,
}

/// What differs between the cases of a scenario; each case is a process of its own, and all take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vary {
    Nothing,
    Routes(&'static [usize]),
    Backends(&'static [usize]),
    /// Connections that stay open, most of them idle.
    OpenConnections(&'static [usize]),
    /// Connections that are busy.
    BusyConnections(&'static [usize]),
    /// Fields in the head of an answer.
    AnswerFields(&'static [usize]),
}

/// Requests per second at which latencies are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    Untaken,
    Fixed(u64),
    /// Half of what tuned nginx did in the same scenario; of the first case.
    HalfOfBaseline,
}

/// What Remora is to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    Nothing,
    /// CPU per request against tuned nginx: at most, stretch.
    CpuRatio(f64, f64),
    /// Of each case: megabytes resident at most, stretch.
    Megabytes(&'static [(f64, f64)]),
    /// CPU per request of the last case against the second: at most.
    CpuOfLastCase(f64),
    /// Share of a core of the last case while nothing is asked, percent: at most.
    IdleShare(f64),
    /// Requests per second against tuned nginx, first case: at least. The p99 is to be no worse.
    Throughput(f64),
}

impl Scenario {
    /// What its cases are called in tables, and their numbers; one without a number where nothing varies.
    pub fn cases(&self) -> (&'static str, Vec<Option<usize>>) {
        let (name, numbers): (_, &[usize]) = match self.vary {
            Vary::Nothing => return ("", vec![None]),
            Vary::Routes(numbers) => ("routes", numbers),
            Vary::Backends(numbers) => ("backends", numbers),
            Vary::AnswerFields(numbers) => ("fields in an answer", numbers),
            Vary::OpenConnections(numbers) | Vary::BusyConnections(numbers) => ("connections", numbers),
        };
        (name, numbers.iter().copied().map(Some).collect())
    }

    /// What the origin is asked for in a case.
    pub fn answer(&self, case: Option<usize>) -> String {
        match (self.vary, case) {
            (Vary::AnswerFields(_), Some(count)) => format!("{}-{count}", self.answer),
            _ => self.answer.to_owned(),
        }
    }

    /// Backends of a case.
    pub fn backends(&self, case: Option<usize>) -> u16 {
        match (self.vary, case) {
            (Vary::Backends(_), Some(count)) => u16::try_from(count).unwrap_or(u16::MAX),
            // Twice as many ports to connect from would hide for twice as long that they run out.
            _ if self.isolated => 1,
            _ => 2,
        }
    }

    /// Routes of a case.
    pub fn routes(&self, case: Option<usize>) -> Routes {
        match (self.vary, case) {
            (Vary::Routes(_), Some(count)) => Routes::Many(count),
            _ => Routes::Two,
        }
    }

    /// The load of a case.
    pub fn load(&self, case: Option<usize>) -> Load {
        match (self.vary, case) {
            (Vary::BusyConnections(_), Some(connections)) => Load::Wrk { connections },
            _ => self.load,
        }
    }

    /// The most client connections of a case.
    pub fn connections(&self, case: Option<usize>) -> usize {
        match (self.vary, case) {
            (Vary::OpenConnections(_), Some(count)) => count,
            _ => self.load.connections().max(64),
        }
    }

    /// Who takes part, as far as `peers` names them; empty names all.
    pub fn peers(&self, peers: &[String]) -> Vec<Peer> {
        let mut all = Peer::all();
        if self.field == Field::Close {
            let close = [Kind::Remora, Kind::Nginx, Kind::Haproxy];
            all.retain(|peer| close.contains(&peer.kind) && peer.style.is_tuned());
        }
        if self.auth {
            // It asks nobody about a request without a script.
            all.retain(|peer| peer.kind != Kind::Haproxy);
        }
        if self.load.is_http2() && !self.tls {
            // Without TLS it takes HTTP/2 on a listener of its own only.
            all.retain(|peer| peer.kind != Kind::Haproxy);
        }
        let named = |peer: &Peer| peers.iter().any(|name| name == peer.kind.name() || *name == peer.key());
        all.retain(|peer| peers.is_empty() || named(peer) || peer.kind == Kind::Remora);
        all
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_scenarios_share_a_name_or_a_heading() {
        let all = all();
        assert_eq!(all.iter().map(|scenario| scenario.name).collect::<HashSet<_>>().len(), all.len());
        assert_eq!(all.iter().map(|scenario| scenario.title).collect::<HashSet<_>>().len(), all.len());
    }

    #[test]
    fn every_row_of_http2_has_as_many_connections_and_streams() {
        let loads: Vec<Load> = all().into_iter().map(|scenario| scenario.load).filter(|load| load.is_http2()).collect();
        assert_eq!(loads, [Load::Http2 { connections: 32, streams: 8 }; 3]);
    }

    #[test]
    fn each_kind_of_upload_has_a_peer_that_does_the_same() {
        let uploads = all().into_iter().filter(|scenario| matches!(scenario.load, Load::Upload { .. }));
        let kinds: Vec<Traffic> = uploads.map(|scenario| scenario.traffic).collect();
        assert_eq!(kinds, [Traffic::Uploads, Traffic::BufferedUploads]);
    }

    #[test]
    fn peers_are_named_by_proxy_or_by_style() {
        let keys = |names: &[&str]| -> Vec<String> {
            let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
            list::KEEPALIVE.peers(&names).into_iter().map(Peer::key).collect()
        };
        assert_eq!(keys(&["nginx"]), ["remora-tuned", "nginx-tuned", "nginx-tuned-log", "nginx-plain"]);
        assert_eq!(keys(&["nginx-tuned"]), ["remora-tuned", "nginx-tuned"]);
        assert_eq!(keys(&["haproxy-plain"]), ["remora-tuned", "haproxy-plain"]);
        assert_eq!(keys(&[]).len(), 13);
    }
}
