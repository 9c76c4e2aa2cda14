//! Whole ladders by the real edge: one container for each way a rung can fail, all of them sick at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::bench::{Box, get, programs, project, slim};
use crate::edge::Edge;
use crate::gunicorn::freeze;

const GUNICORN: &str = "exec gunicorn -w 2 -b 0.0.0.0:80 app:wsgi";
const CHILD: &str = "gunicorn -w 2 -b 0.0.0.0:80 app:wsgi; exit $?";
/// Two ports, and so two backends, in one container.
const TWO_PORTS: &str = "exec gunicorn -w 2 -b 0.0.0.0:80 -b 0.0.0.0:81 app:wsgi";

/// What is listed to heal, how the container is started, and what must come of each rung and of the whole.
#[rustfmt::skip]
const CASES: [(&str, &str, &str, &[&str], &str); 7] = [
    // name      start     ladder                                                          rungs                              result
    ("swallowed", CHILD,   "[{ signal: HUP }, gunicorn]",                                  &["ok", "ok"],                    "healed"),
    ("missing",  GUNICORN, "[{ exec: [no-such-program, -x] }, gunicorn]",                  &["was not found in container", "ok"],   "healed"),
    ("no-match", GUNICORN, "[{ exec: [pkill, -HUP, no-such-process] }, gunicorn]",         &["exit 1", "ok"],                "healed"),
    ("hangs",    GUNICORN, "[{ exec: [sh, -c, \"trap '' TERM; sleep 600\"] }, gunicorn]",  &["timed out after 2s", "ok"],           "healed"),
    ("in-vain",  GUNICORN, "[{ exec: [\"true\"] }, gunicorn]",                             &["ok", "ok"],                    "healed"),
    ("nothing",  GUNICORN, "[{ exec: [no-such-program] }, { exec: [/etc/passwd] }]",       &["was not found in", "is not executable"],     "unrunnable"),
    ("no-use",   GUNICORN, "[{ exec: [\"true\"] }]",                                       &["ok"],                          "failed"),
];

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn each_way_a_rung_fails_leads_to_the_next_and_ends() {
    let project = project();
    let run = |start: &str| Box::run_in(&project, "api", &[], &programs(), &["sh", "-c", start]);
    let containers: BTreeMap<&str, Box> = CASES.iter().map(|(name, start, ..)| (*name, run(start))).collect();
    let (well, both) = (run(GUNICORN), run(TWO_PORTS));
    // Limits short enough that giving up is seen; the one that hangs has two seconds for a command.
    let limits = "drain: 1s, verify: 2s, cooldown: 1s, budget: 2/10m, timeout: 2s";
    let mut site = format!("routes:\n  /: well\nupstreams:\n  well: {{ servers: \"{}\", check: / }}\n", well.answers());
    for (name, _, ladder, ..) in CASES {
        let address = containers[name].answers();
        site += &format!(
            "  {name}: {{ servers: \"{address}\", check: {{ http: /, every: 500ms, timeout: 500ms }}, heal: {{ steps: {ladder}, {limits} }} }}\n"
        );
    }
    let (first, second) = (both.answers(), both.address(81));
    site += &format!(
        "  both: {{ servers: [\"{first}\", \"{second}\"], check: {{ http: /, every: 500ms, timeout: 500ms }}, heal: gunicorn }}\n"
    );
    let edge = Edge::start(&project, &site);
    edge.grace();
    let before: BTreeMap<&str, String> = containers.iter().map(|(name, one)| (*name, one.identity())).collect();
    containers.values().chain([&both]).for_each(freeze);

    for (name, _, _, rungs, result) in CASES {
        let ladder = edge.ended(name);
        let steps = ladder["steps"].as_array().unwrap();
        let outcomes: Vec<&str> = steps.iter().map(|step| step["outcome"].as_str().unwrap()).collect();
        println!("{name}: {result}: {outcomes:?}, took {} ms", ladder["took_ms"]);
        assert_eq!(ladder["result"], result, "{name}: {ladder:#}");
        assert_eq!(outcomes.len(), rungs.len(), "{name}: {outcomes:?}");
        for (outcome, rung) in outcomes.iter().zip(rungs) {
            assert!(outcome.contains(rung), "{name}: {outcomes:?}");
        }
        assert_eq!(get(edge.front, "/", Duration::from_secs(1)).unwrap().0, 200, "others are served meanwhile");
        assert_eq!(containers[name].identity(), before[name], "{name}: the container is what it was");
    }
    // What cannot be run is not tried again; what does not help, as often as the budget says. And both end with a word.
    crate::bench::eventually("one is given up", || edge.says(": healing stopped: ") == 1);
    crate::bench::eventually("the other waits", || edge.says(": budget used (2 heals in ") == 1);
    assert_eq!((edge.ladder("nothing").1, edge.ladder("no-use").1), (1, 2), "{}", edge.log());
    assert_ne!(edge.state("no-use"), "up", "it is probed on");
    crate::bench::eventually("both backends are up", || edge.state("both") == "up");
    assert_eq!(edge.ladder("both").1, 1, "two backends in one container are healed once: {}", edge.log());
    assert!(!containers["hangs"].processes().contains("sleep 600"), "{}", containers["hangs"].processes());
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn everything_sick_at_once_is_nobodys_sickness() {
    let project = project();
    let run = || Box::run_in(&project, "api", &[], &slim(), &["sh", "-c", GUNICORN]);
    let containers = [run(), run()];
    let mut site = "routes:\n  /: a\nupstreams:\n".to_owned();
    for (name, container) in ["a", "b"].iter().zip(&containers) {
        let address = container.answers();
        site += &format!(
            "  {name}: {{ servers: \"{address}\", check: {{ http: /, every: 500ms, timeout: 500ms }}, heal: gunicorn }}\n"
        );
    }
    let edge = Edge::start(&project, &site);
    edge.grace();
    // Everybody but PID 1. To pause the containers would be a plan, and no sickness.
    containers.iter().for_each(|container| _ = container.shell("kill -STOP -1"));
    crate::bench::eventually("it is said", || edge.says("suppressed: global") == 2);
    assert_eq!(edge.status()["heals"].as_array().unwrap().len(), 0, "{}", edge.log());
    containers.iter().for_each(|container| _ = container.shell("kill -CONT -1"));
    crate::bench::eventually("both are up", || edge.state("a") == "up" && edge.state("b") == "up");
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn a_wrong_port_in_the_file_costs_no_worker() {
    let project = project();
    let container = Box::run_in(&project, "api", &[], &programs(), &["sh", "-c", GUNICORN]);
    let address = container.answers();
    let check = "{ http: /, every: 500ms, timeout: 500ms }";
    let site = format!(
        "routes:\n  /: api\nupstreams:\n  api: {{ servers: \"{address}\", check: {check}, heal: {{ steps: gunicorn, verify: 2s }} }}\n"
    );
    let edge = Edge::start(&project, &site);
    edge.grace();
    let gunicorns = || -> BTreeSet<String> {
        container
            .processes()
            .lines()
            .filter(|line| line.contains("gunicorn"))
            .map(|line| line.trim_end().to_owned())
            .collect()
    };
    let (right, before) = (std::fs::read_to_string(edge.file()).unwrap(), gunicorns());
    let wrong = right.replace(&format!("\"{address}\""), &format!("\"{}:81\"", address.ip()));
    std::fs::write(edge.file(), wrong).unwrap();
    crate::bench::eventually("it is said", || edge.says("has ever passed its check on port 81") == 1);
    let status = edge.status();
    assert!(status["heals"].as_array().unwrap().is_empty(), "{}", edge.log());
    assert!(status["notes"][0].as_str().unwrap().contains("`remora heal api`"), "{status:#}");
    assert_eq!(gunicorns(), before, "no worker was replaced");

    std::fs::write(edge.file(), right).unwrap();
    crate::bench::eventually("it is up", || edge.state("api") == "up");
    freeze(&container);
    assert_eq!(edge.ended("api")["result"], "healed", "{}", edge.log());
}
