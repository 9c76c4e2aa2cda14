//! The document's shape: what it says is stable, and what was written can be read.

use super::*;
use crate::reload::ReloadOrigin;

pub(crate) fn backend(address: &str, state: ShownState) -> BackendStatus {
    BackendStatus {
        address: address.to_owned(),
        container: None,
        server: "backend:8000".to_owned(),
        weight: 1,
        backup: false,
        state,
        since: "2026-11-21T08:00:00.000Z".to_owned(),
        last_check: Some(CheckStatus {
            at: "2026-11-21T08:00:01.000Z".to_owned(),
            result: if state == ShownState::Up { "passed" } else { "status 503" }.to_owned(),
            duration_ms: 3,
        }),
        cause: (state != ShownState::Up).then(|| "3 checks failed: status 503".to_owned()),
        in_flight: 2,
        requests: 1200,
        failures: 7,
    }
}

pub(crate) fn sample() -> Status {
    let backends = vec![backend("172.18.0.4:8000", ShownState::Up), backend("172.18.0.5:8000", ShownState::Healing)];
    let spec = SpecSummary {
        servers: vec!["backend:8000".to_owned()],
        balance: "round_robin".to_owned(),
        check: "GET /health every 2s".to_owned(),
        heal: "gunicorn reload, then restart container".to_owned(),
        hold_ms: 10_000,
    };
    Status {
        process: ProcessStatus {
            generation: 8,
            config_file: Some("conf/remora.yaml".to_owned()),
            listeners: vec!["0.0.0.0:80".to_owned()],
            last_reload: Some(ReloadStatus {
                at: "2026-11-21T08:00:00.000Z".to_owned(),
                origin: "file".to_owned(),
                summary: None,
                error: Some("error: no upstream is named `apii`\n  --> conf/remora.yaml:41:11".to_owned()),
            }),
            ..ProcessStatus::of_this_process(Duration::from_secs(93_784))
        },
        routes: vec![RouteStatus {
            host: None,
            path: "/api".to_owned(),
            upstream: "backend".to_owned(),
            requests: 1200,
            lane: "full".to_owned(),
        }],
        upstreams: vec![UpstreamStatus {
            name: "backend".to_owned(),
            spec,
            state: PoolState::of(&backends),
            held: 0,
            backends,
        }],
        heals: serde_json::json!([{ "upstream": "backend", "step": "gunicorn reload", "outcome": "healed" }]),
        notes: vec!["backend: not healed, the database it needs is down".to_owned()],
    }
}

#[test]
fn what_is_written_can_be_read() {
    let text = serde_json::to_string(&sample()).unwrap();
    assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), sample());
    assert!(text.contains(r#""state":"degraded""#) && text.contains(r#""state":"healing""#), "{text}");
}

#[test]
fn a_pool_is_as_good_as_its_backends() {
    use ShownState::{Draining, Left, New, Up};
    #[rustfmt::skip]
    let rows: [(&[ShownState], PoolState); 6] = [
        (&[],             PoolState::Empty),
        (&[Left],         PoolState::Empty),
        (&[Up, Up, Left], PoolState::Up),
        (&[Up, Draining], PoolState::Degraded),
        (&[New],          PoolState::Down),
        (&[Draining],     PoolState::Down),
    ];
    for (states, expected) in rows {
        let backends: Vec<_> = states.iter().map(|state| backend("10.0.0.1:1", *state)).collect();
        assert_eq!(PoolState::of(&backends), expected, "{states:?}");
    }
}

#[test]
fn a_refused_reload_shows_its_report() {
    let at = std::time::UNIX_EPOCH + Duration::from_millis(1_795_248_000_123);
    let refused = ReloadOutcome { at, origin: ReloadOrigin::Signal, result: Err("bad".to_owned()) };
    let status = ReloadStatus::from(&refused);
    assert_eq!((status.origin.as_str(), status.error.as_deref(), status.summary), ("signal", Some("bad"), None));
    assert_eq!(status.at, "2026-11-21T08:00:00.123Z");
}

#[test]
fn others_are_shown_nothing_that_files_and_programs_have_said() {
    let mut status = sample();
    let error = Some("1 | admin: secret".to_owned());
    let (at, origin) = ("2026-11-21T08:00:00.123Z".to_owned(), "file".to_owned());
    status.process.last_reload = Some(ReloadStatus { at, origin, summary: None, error });
    status.heals = serde_json::json!([{ "upstream": "backend", "logs": "secret", "steps": [{ "output": "secret" }] }]);
    let shown = serde_json::to_string(&status.without_texts()).unwrap();
    assert!(!shown.contains("secret") && shown.contains("refused") && shown.contains("backend"), "{shown}");
}
