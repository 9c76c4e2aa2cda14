//! uvicorn's presets: HUP reaches the parent of `--workers` alone, and no uvicorn that would die of it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use remora::config::model::{Preset, Step};
use remora::heal::Feasibility;

use crate::bench::{Box, cure, docker, eventually, get, judged, programs, slim};

/// The ways people start uvicorn with workers.
fn starts() -> [(&'static str, String, &'static str); 4] {
    [
        ("PID 1, slim", slim(), "exec uvicorn --workers 2 --host 0.0.0.0 --port 80 app:asgi"),
        ("under tini", programs(), "exec tini -- uvicorn --workers 2 --host 0.0.0.0 --port 80 app:asgi"),
        (
            "python -m, a shell's child",
            slim(),
            "python -m uvicorn --workers 2 --host 0.0.0.0 --port 80 app:asgi; exit $?",
        ),
        (
            "uvicorn.run",
            slim(),
            "printf 'import uvicorn\\nif __name__ == \"__main__\":\\n uvicorn.run(\"app:asgi\", host=\"0.0.0.0\", port=80, \
             workers=2)\\n' >main.py; exec python main.py",
        ),
    ]
}

fn start(image: &str, command: &str) -> Box {
    Box::run("api", &["-e", "SAMPLE_FAULTS=1"], image, &["sh", "-c", command])
}

/// Pids of the workers that answer.
fn workers(address: SocketAddr) -> Vec<String> {
    let asked: Vec<_> =
        (0..12).map(|_| std::thread::spawn(move || get(address, "/?0.05", Duration::from_secs(2)))).collect();
    let mut pids: Vec<String> =
        asked.into_iter().filter_map(|asked| asked.join().unwrap().ok()).map(|(_, pid)| pid).collect();
    pids.sort();
    pids.dedup();
    pids
}

fn both(address: SocketAddr) -> Vec<String> {
    let mut found = Vec::new();
    eventually("both workers answer", || {
        found = workers(address);
        found.len() == 2
    });
    found
}

/// Blocks both event loops; what else waits to be accepted is harmless.
fn block(address: SocketAddr, pids: &[String]) {
    let hang = || {
        let _cut = crate::bench::post(address, "/_fault/hang", Duration::from_millis(300));
    };
    for _ in pids {
        hang();
    }
    eventually("both loops are blocked", || match get(address, "/", Duration::from_millis(300)) {
        Ok(_) => {
            hang();
            false
        }
        Err(_) => true,
    });
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn a_reload_replaces_the_workers_and_loses_no_request() {
    for (how, image, command) in starts() {
        let (docker, container) = (docker(), start(&image, command));
        let address = container.answers();
        let (before, identity) = (both(address), container.identity());
        let said = judged(&docker, &container, Step::Preset(Preset::UvicornReload)).await;
        assert!(said.verdict == Feasibility::Works && said.note.contains("workers"), "{how}: {said:?}");
        let slow = std::thread::spawn(move || get(address, "/?1.5", Duration::from_secs(10)));
        std::thread::sleep(Duration::from_millis(300)); // the slow request is there
        let done = cure(&docker, &container, Preset::UvicornReload).await;
        println!("{how}: reload took {:?}: {}", done.took, done.output);
        assert!(done.code == Some(0) && done.output.contains("all workers are new"), "{how}: {done:?}");
        assert_eq!(slow.join().unwrap().map(|(status, _)| status), Ok(200), "{how}: the slow request is answered");
        assert!(both(address).iter().all(|pid| !before.contains(pid)), "{how}: other workers");
        assert_eq!(container.identity(), identity, "{how}");
    }
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn blocked_and_frozen_workers_are_replaced_by_either_step() {
    for (how, image, command) in starts().into_iter().take(2) {
        for preset in [Preset::UvicornReload, Preset::UvicornKillWorkers] {
            // A parent asks its workers for a sign of life, five seconds at most, and obeys nobody while it waits.
            let sicknesses: &[&str] = if how == "under tini" { &["blocked"] } else { &["blocked", "frozen"] };
            for &sickness in sicknesses {
                let (docker, container) = (docker(), start(&image, command));
                let address = container.answers();
                let (before, identity) = (both(address), container.identity());
                match sickness {
                    "blocked" => block(address, &before),
                    _ => _ = container.shell(&format!("kill -STOP {}", before.join(" "))),
                }
                let answer = get(address, "/", Duration::from_millis(300));
                assert!(answer.is_err(), "{how}: {sickness}, {before:?}: {answer:?}");
                let started = Instant::now();
                let done = cure(&docker, &container, preset.clone()).await;
                assert_eq!(done.code, Some(0), "{how}: {}", done.output);
                eventually("it answers again", || get(address, "/", Duration::from_millis(300)).is_ok());
                println!("{how}, {sickness}: {preset}: step {:?}, answers after {:?}", done.took, started.elapsed());
                assert!(both(address).iter().all(|pid| !before.contains(pid)), "{how}: other workers");
                assert_eq!(container.identity(), identity, "{how}");
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn a_uvicorn_that_would_die_of_it_is_not_touched() {
    let alone = "exec uvicorn --host 0.0.0.0 --port 80 app:asgi";
    let child = "python -m uvicorn --reload --host 0.0.0.0 --port 80 app:asgi; exit $?";
    for command in [alone, child] {
        let (docker, container) = (docker(), start(&slim(), command));
        let address = container.answers();
        let before = workers(address);
        for preset in [Preset::UvicornReload, Preset::UvicornKillWorkers] {
            let said = judged(&docker, &container, Step::Preset(preset.clone())).await;
            assert!(said.verdict == Feasibility::Broken && said.note.contains("without --workers"), "{said:?}");
            let done = cure(&docker, &container, preset).await;
            assert!(done.code == Some(3) && done.output.contains("HUP would end it"), "{command}: {done:?}");
        }
        assert_eq!(workers(address), before, "{command}: the same process answers");
    }
    let (docker, container) = (docker(), Box::run("api", &[], &slim(), &["sleep", "3600"]));
    let done = cure(&docker, &container, Preset::UvicornReload).await;
    assert_eq!((done.code, done.output.as_str()), (Some(3), "uvicorn is not running"));
}
