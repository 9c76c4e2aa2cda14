//! The view on the sample document: what is on it, how wide it is, and what it never lets through.

use super::*;
use crate::admin::status::tests::{backend, sample};

const PLAIN: Look = Look { colour: false, utf8: false, width: 100 };

fn now() -> SystemTime {
    SystemTime::from(DateTime::parse_from_rfc3339("2026-11-21T08:03:05Z").unwrap())
}

fn line_with<'t>(text: &'t str, part: &str) -> &'t str {
    text.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("no {part} in\n{text}"))
}

#[test]
fn one_screen_tells_what_runs_and_what_is_wrong() {
    let mut status = sample();
    status.heals = serde_json::json!([{
        "started_at": "2026-11-21T08:01:05Z", "upstream": "backend", "backend": "172.18.0.5:8000",
        "cause": "status 503", "result": "healed", "steps": [{ "step": "gunicorn reload", "outcome": "ok" }],
    }]);
    let text = render(&status, PLAIN, now());
    assert!(line_with(&text, "remora 0").ends_with("up 1d 2h - generation 8 - conf/remora.yaml"), "{text}");
    assert!(text.contains("listening on 0.0.0.0:80\n"));
    assert!(text.contains("last reload 3m 5s ago by file: refused\n  error: no upstream is named `apii`\n"), "{text}");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(line_with(&text, "/api")), ["*", "/api", "backend", "full", "1200"]);
    assert_eq!(
        words(line_with(&text, "172.18.0.4:8000")),
        ["backend", "1/2", "172.18.0.4:8000", "up", "3m", "5s", "passed", "3", "ms", "2", "1200", "7"]
    );
    assert_eq!(words(line_with(&text, "status 503 3 ms"))[1], "healing");
    assert!(text.contains("  172.18.0.5:8000 healing: 3 checks failed: status 503\n"), "{text}");
    assert!(text.contains("gunicorn reload: ok") && text.contains("NOTES"), "{text}");
}

#[test]
fn containers_have_their_names_and_drills_are_no_incidents() {
    let mut status = sample();
    status.upstreams[0].backends[1].container = Some("shop-backend-2".to_owned());
    let entry = |index: usize, asked_by: &str| {
        serde_json::json!({
            "started_at": "2026-11-21T08:01:05Z", "upstream": "backend", "backend": "172.18.0.5:8000", "asked_by": asked_by,
            "container": "shop-backend-2", "cause": format!("cause-{index}"), "result": "healed", "steps": [],
        })
    };
    let mut entries: Vec<_> = (0..37).map(|index| entry(index, "policy")).collect();
    entries.push(entry(40, "hand"));
    entries.extend([entry(50, "drill"), entry(51, "reload")]);
    status.heals = entries.into();
    let text = render(&status, Look { width: 140, ..PLAIN }, now());
    assert!(line_with(&text, "  172.18.0.5:8000 (shop-backend-2) healing: ").contains("status 503"), "{text}");
    let first: Vec<_> = line_with(&text, "1/2").split_whitespace().take(4).collect();
    assert_eq!(first, ["backend", "1/2", "172.18.0.4:8000", "-"], "{text}");
    let (incidents, planned) = text.split_once("\nHEALS\n").unwrap().1.split_once("\nDRILLS AND RELOADS\n").unwrap();
    assert!(incidents.starts_with("the last 5 of 38 heals; all of them: remora status --json\n"), "{incidents}");
    for (cause, is_incident, is_planned) in [
        ("cause-40", true, false),
        ("cause-36", true, false),
        ("cause-32", false, false),
        ("cause-50", false, true),
        ("cause-51", false, true),
    ] {
        assert_eq!((incidents.contains(cause), planned.contains(cause)), (is_incident, is_planned), "{cause}: {text}");
    }
    assert!(!planned.contains("the last "), "{planned}");
}

#[test]
fn it_fits_the_width_and_the_terminal() {
    let mut status = sample();
    let mut long = backend("[fd00:1234:5678:9abc:def0:1234:5678:9abc]:65535", ShownState::Ejected);
    long.backup = true;
    long.requests = 123_456_789_012;
    status.upstreams[0].name = "a-name-of-sixty-three-characters-that-somebody-may-really-use-x".to_owned();
    status.upstreams[0].backends.push(long);
    for look in [PLAIN, Look { utf8: true, ..PLAIN }, Look { width: 80, ..PLAIN }] {
        let text = render(&status, look, now());
        let tables = text.lines().filter(|line| !line.starts_with("  ") || line.contains("  *"));
        let widest = tables.map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= usize::from(look.width), "{widest} columns:\n{text}");
        assert_eq!(text.is_ascii(), !look.utf8);
    }
}

#[test]
fn colours_are_for_terminals_and_nothing_else_steers_one() {
    let mut status = sample();
    status.upstreams[0].backends[1].cause = Some("out\u{1b}[2J\u{200b}put\r\nforged".to_owned());
    status.routes[0].path = "/\u{1b}]0;x\u{7}".to_owned();
    let text = render(&status, PLAIN, now());
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    assert!(text.contains("out\\x1B[2Jput\\r\\nforged"), "{text}");
    let coloured = render(&status, Look { colour: true, utf8: true, ..PLAIN }, now());
    assert!(coloured.contains("\x1b[32mup\x1b[0m") && coloured.contains("\x1b[33mhealing\x1b[0m"), "{coloured}");
    assert!(!coloured.contains("\x1b[2J") && !coloured.contains('\u{200b}'));
}

#[test]
fn an_upstream_without_addresses_says_so() {
    let mut status = sample();
    status.upstreams[0].backends.clear();
    status.upstreams[0].state = PoolState::Empty;
    let text = render(&status, PLAIN, now());
    assert!(text.contains("backend 0/0") && text.contains("no address for"), "{text}");
}

#[test]
fn spans_are_short() {
    for (seconds, shown) in [(0, "0s"), (59, "59s"), (185, "3m 5s"), (7_380, "2h 3m"), (352_800, "4d 2h")] {
        assert_eq!(span(Duration::from_secs(seconds)), shown);
    }
}
