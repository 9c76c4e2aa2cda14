//! What is measured.

use crate::load::Load;
use crate::peer::{Kind, Peer, Routes, Style, Traffic};

/// One table of the results.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name in `ONLY`, and of its chart.
    pub name: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// How requests are made.
    pub load: Load,
    /// What the origin is asked for.
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
    /// Remora, and nginx and HAProxy where they are tuned.
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

const KEEPALIVE: Scenario = Scenario {
    name: "200b",
    title: "200 B, keepalive",
    load: Load::Wrk { connections: 64 },
    answer: "200b",
    tls: false,
    traffic: Traffic::Small,
    field: Field::Everyone,
    vary: Vary::Nothing,
    latency: Rate::Fixed(8000),
    full_lane: false,
    unpinned: false,
    target: Target::CpuRatio(0.95, 0.85),
};

/// Every scenario, in the order of the results.
pub fn all() -> Vec<Scenario> {
    vec![
        KEEPALIVE,
        Scenario { name: "10k", title: "10 KB, keepalive", answer: "10k", ..KEEPALIVE },
        Scenario {
            name: "100k",
            title: "100 KB, keepalive",
            answer: "100k",
            traffic: Traffic::Large,
            latency: Rate::Fixed(2000),
            target: Target::CpuRatio(0.85, 0.7),
            ..KEEPALIVE
        },
        Scenario {
            name: "10m",
            title: "10 MB, keepalive",
            answer: "10m",
            load: Load::Wrk { connections: 8 },
            traffic: Traffic::Large,
            latency: Rate::Fixed(20),
            target: Target::Nothing,
            ..KEEPALIVE
        },
        Scenario {
            name: "close",
            title: "200 B, a connection per request",
            load: Load::Close { connections: 64 },
            latency: Rate::Fixed(3000),
            target: Target::CpuRatio(1.1, 0.95),
            ..KEEPALIVE
        },
        Scenario {
            name: "upload",
            title: "1 MB upload",
            load: Load::Upload { connections: 16 },
            answer: "upload",
            traffic: Traffic::Uploads,
            latency: Rate::Fixed(150),
            target: Target::CpuRatio(1.0, 0.9),
            ..KEEPALIVE
        },
        Scenario {
            name: "tls",
            title: "200 B over TLS 1.3, keepalive",
            tls: true,
            latency: Rate::Fixed(5000),
            target: Target::CpuRatio(1.0, 0.9),
            ..KEEPALIVE
        },
        Scenario {
            name: "handshakes",
            title: "TLS 1.3 full handshakes, a request of 200 B on each",
            load: Load::Handshakes { connections: 8 },
            tls: true,
            latency: Rate::Untaken,
            target: Target::CpuRatio(0.75, 0.65),
            ..KEEPALIVE
        },
        Scenario {
            name: "h2",
            title: "200 B over HTTP/2 and TLS 1.3, 32 connections with 8 streams",
            load: Load::Http2 { connections: 32, streams: 8 },
            tls: true,
            traffic: Traffic::Http2,
            latency: Rate::Fixed(5000),
            target: Target::Nothing,
            ..KEEPALIVE
        },
        Scenario {
            name: "h2c",
            title: "200 B over HTTP/2 in cleartext, 32 connections with 8 streams",
            load: Load::Http2 { connections: 32, streams: 8 },
            traffic: Traffic::Http2,
            latency: Rate::Untaken,
            target: Target::Nothing,
            ..KEEPALIVE
        },
        Scenario {
            name: "websocket",
            title: "WebSocket, a message of 125 B there and back",
            load: Load::WebSocket { connections: 64 },
            traffic: Traffic::WebSockets,
            latency: Rate::Untaken,
            target: Target::Nothing,
            ..KEEPALIVE
        },
        Scenario {
            name: "full",
            title: "200 B, keepalive, Remora on its full lane",
            field: Field::Close,
            full_lane: true,
            target: Target::CpuRatio(1.9, 1.5),
            ..KEEPALIVE
        },
        Scenario {
            name: "connections",
            title: "Open connections: memory while idle, then 64 requests at a time over all of them",
            load: Load::Connections,
            field: Field::Close,
            vary: Vary::OpenConnections(&[1000, 10_000]),
            latency: Rate::Untaken,
            target: Target::Megabytes(&[(24.0, 16.0), (140.0, 90.0)]),
            ..KEEPALIVE
        },
        Scenario {
            name: "routes",
            title: "200 B, keepalive, by number of routes",
            field: Field::Close,
            vary: Vary::Routes(&[1, 10, 100, 10_000]),
            latency: Rate::Untaken,
            target: Target::CpuOfLastCase(1.05),
            ..KEEPALIVE
        },
        Scenario {
            name: "backends",
            title: "200 B, keepalive, by number of backends; checks every 2 s (nginx has none)",
            field: Field::Close,
            vary: Vary::Backends(&[2, 100, 1000]),
            latency: Rate::Untaken,
            target: Target::IdleShare(3.0),
            ..KEEPALIVE
        },
        Scenario {
            name: "two-cores",
            title: "200 B, keepalive, two workers; proxy, load and origin on all cores",
            field: Field::Close,
            vary: Vary::BusyConnections(&[64, 8, 4]),
            latency: Rate::HalfOfBaseline,
            unpinned: true,
            target: Target::Throughput(1.1),
            ..KEEPALIVE
        },
    ]
}

impl Scenario {
    /// What its cases are called in tables, and their numbers; one without a number where nothing varies.
    pub fn cases(&self) -> (&'static str, Vec<Option<usize>>) {
        let (name, numbers): (_, &[usize]) = match self.vary {
            Vary::Nothing => return ("", vec![None]),
            Vary::Routes(numbers) => ("routes", numbers),
            Vary::Backends(numbers) => ("backends", numbers),
            Vary::OpenConnections(numbers) | Vary::BusyConnections(numbers) => ("connections", numbers),
        };
        (name, numbers.iter().copied().map(Some).collect())
    }

    /// Backends of a case.
    pub fn backends(&self, case: Option<usize>) -> u16 {
        match (self.vary, case) {
            (Vary::Backends(_), Some(count)) => u16::try_from(count).unwrap_or(u16::MAX),
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
            _ => 64,
        }
    }

    /// Who takes part, as far as `peers` names them; empty names all.
    pub fn peers(&self, peers: &[String]) -> Vec<Peer> {
        let mut all = Peer::all();
        if self.field == Field::Close {
            let close = [Kind::Remora, Kind::Nginx, Kind::Haproxy];
            all.retain(|peer| close.contains(&peer.kind) && peer.style == Style::Tuned);
        }
        if self.traffic == Traffic::Uploads {
            // By default Remora holds small bodies until they are whole, so that slow clients hold no worker.
            all.insert(1, Peer { kind: Kind::Remora, style: Style::Plain });
        }
        if self.traffic == Traffic::Http2 && !self.tls {
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
    fn peers_are_named_by_proxy_or_by_style() {
        let keys = |names: &[&str]| -> Vec<String> {
            let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
            KEEPALIVE.peers(&names).into_iter().map(Peer::key).collect()
        };
        assert_eq!(keys(&["nginx"]), ["remora-tuned", "nginx-tuned", "nginx-plain"]);
        assert_eq!(keys(&["haproxy-plain"]), ["remora-tuned", "haproxy-plain"]);
        assert_eq!(keys(&[]).len(), 12);
    }
}
