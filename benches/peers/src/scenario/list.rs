//! Every scenario, in the order of the results.

use super::{Field, Rate, Scenario, Target, Vary};
use crate::load::Load;
use crate::peer::Traffic;

/// What most scenarios differ from in a few points.
pub(super) const KEEPALIVE: Scenario = Scenario {
    name: "200b",
    title: "200 B, keepalive",
    load: Load::Wrk { connections: 64 },
    answer: "200b",
    tls: false,
    traffic: Traffic::Small,
    field: Field::Everyone,
    vary: Vary::Nothing,
    latency: Rate::Fixed(8000),
    auth: false,
    isolated: false,
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
            name: "browser",
            title: "200 B, keepalive, requests of a browser with 14 fields, by number of fields in an answer",
            load: Load::Browser { connections: 64 },
            answer: "fields",
            field: Field::Close,
            vary: Vary::AnswerFields(&[6, 12]),
            target: Target::Nothing,
            ..KEEPALIVE
        },
        Scenario {
            name: "post",
            title: "POST of 200 B of JSON, keepalive",
            load: Load::Post { connections: 64 },
            latency: Rate::Fixed(3000),
            target: Target::Nothing,
            ..KEEPALIVE
        },
        Scenario {
            name: "post-minute",
            title: "POSTs of 200 B for a minute, GETs beside them; a backend with an address of its own",
            load: Load::Posts { connections: 32 },
            field: Field::Close,
            latency: Rate::Untaken,
            isolated: true,
            target: Target::Nothing,
            ..KEEPALIVE
        },
        Scenario {
            name: "upload",
            title: "1 MB upload, passed on as it comes",
            load: Load::Upload { connections: 16 },
            answer: "upload",
            traffic: Traffic::Uploads,
            latency: Rate::Fixed(150),
            target: Target::CpuRatio(1.0, 0.9),
            ..KEEPALIVE
        },
        Scenario {
            name: "upload-buffered",
            title: "1 MB upload, read whole before it is passed on",
            load: Load::Upload { connections: 16 },
            answer: "upload",
            traffic: Traffic::BufferedUploads,
            field: Field::Close,
            latency: Rate::Fixed(150),
            target: Target::Nothing,
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
            name: "tls-100k",
            title: "100 KB over TLS 1.3, keepalive",
            answer: "100k",
            tls: true,
            traffic: Traffic::Large,
            latency: Rate::Fixed(1000),
            target: Target::Nothing,
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
            latency: Rate::Fixed(5000),
            target: Target::Nothing,
            ..KEEPALIVE
        },
        Scenario {
            name: "h2-100k",
            title: "100 KB over HTTP/2 and TLS 1.3, 32 connections with 8 streams",
            load: Load::Http2 { connections: 32, streams: 8 },
            answer: "100k",
            tls: true,
            traffic: Traffic::Large,
            latency: Rate::Fixed(1000),
            target: Target::Nothing,
            ..KEEPALIVE
        },
        Scenario {
            name: "h2c",
            title: "200 B over HTTP/2 in cleartext, 32 connections with 8 streams",
            load: Load::Http2 { connections: 32, streams: 8 },
            latency: Rate::Fixed(5000),
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
            name: "events",
            title: "Server-sent events of 64 B, 1000 clients with 10 a second each; an event counts as a request",
            load: Load::Events { clients: 1000 },
            answer: "events",
            traffic: Traffic::Events,
            latency: Rate::Untaken,
            target: Target::Nothing,
            ..KEEPALIVE
        },
        Scenario {
            name: "auth",
            title: "200 B, keepalive, a backend is asked about each request (nginx: auth_request)",
            field: Field::Close,
            auth: true,
            latency: Rate::Fixed(3000),
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
