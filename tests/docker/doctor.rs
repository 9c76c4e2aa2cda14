//! What `remora doctor` says of real containers, where a step would work and where it would not.

use std::process::Command;
use std::time::Duration;

use remora::config::model::{Preset, Signal, Step};
use remora::heal::{Feasibility, StepFinding, check_steps};

use crate::bench::{Box, debian, docker, eventually, get, image};
use crate::gunicorn::{STARTS, start, workers};
use crate::others::app_pid;

fn exec(line: &str) -> Step {
    Step::Exec(line.split(' ').map(str::to_owned).collect())
}

async fn looked_at(container: &Box, steps: &[Step]) -> Vec<StepFinding> {
    let docker = docker();
    let found = container.found(&docker).await;
    check_steps(&docker, &found, steps).await
}

/// Each step with the verdict it gets, and some words of the note.
async fn expect(how: &str, container: &Box, rows: &[(Step, Feasibility, &str)]) {
    let steps: Vec<Step> = rows.iter().map(|(step, _, _)| step.clone()).collect();
    for (finding, (step, verdict, note)) in looked_at(container, &steps).await.iter().zip(rows) {
        println!("{how}: {}: {:?}: {}", finding.about, finding.verdict, finding.note);
        assert_eq!(finding.about, step.to_string());
        assert!(finding.verdict == *verdict && finding.note.contains(note), "{how}: {finding:?}");
    }
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn gunicorns_steps_are_judged_by_who_would_be_reached() {
    use Feasibility::{Broken, Doubtful, Works};
    for (how, command) in STARTS {
        let container = start(command);
        let mut before = Vec::new();
        eventually("both workers answer", || {
            before = workers(container.address(80));
            before.len() == 2
        });
        let is_first = how == "PID 1" || how == "python -m";
        let hup = if is_first { (Works, "which handles it") } else { (Broken, "ignored") };
        expect(
            how,
            &container,
            &[
                (Step::Preset(Preset::GunicornReload), Works, "gunicorn is running: master"),
                (Step::Preset(Preset::GunicornKillWorkers), Works, "workers"),
                (Step::Signal(Signal::Hup), hup.0, hup.1),
                (exec("kill -HUP 1"), hup.0, hup.1),
                (Step::Signal(Signal::Kill), Broken, "list `restart`"),
                (exec("pkill -HUP -f app:app"), Doubtful, "workers too"),
                (exec("pkill -HUP -o -f app:app"), hup.0, hup.1),
                (exec("pkill -HUP nothing-like-it"), Broken, "code 1"),
                (exec("supervisorctl-of-old restart x"), Broken, "code 127"),
                (Step::Preset(Preset::Systemd("mysql".into())), Broken, "`systemctl` is not in this image"),
                (Step::Preset(Preset::Pm2Reload("app".into())), Broken, "the PM2 daemon is not running"),
                (Step::Restart, Works, "as listed in the file"),
            ],
        )
        .await;
        eventually("the same workers answer: nothing was done", || workers(container.address(80)) == before);
    }
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn pm2_and_images_without_anything_are_judged() {
    use Feasibility::{Broken, Doubtful, Works};
    let frontend = Box::run("frontend", &[], &image(&["remora-frontend:latest"]), &[]);
    let address = frontend.address(3000);
    eventually("the app answers", || get(address, "/health", Duration::from_secs(1)).is_ok());
    let app = |name: &str| Step::Preset(Preset::Pm2Reload(name.into()));
    expect("PM2", &frontend, &[(app("app"), Works, "knows `app`"), (app("web"), Broken, "no app named `web`")]).await;
    let running = app_pid(&frontend);
    frontend.shell(&format!("kill -STOP {running}"));
    expect("PM2, frozen", &frontend, &[(app("app"), Works, "knows `app`")]).await;
    assert_eq!(app_pid(&frontend), running, "it only looked");

    let bare = Box::run("api", &[], &debian(), &["sleep", "3600"]);
    let gunicorn = Step::Preset(Preset::GunicornReload);
    expect("Debian", &bare, &[(gunicorn.clone(), Broken, "gunicorn is not running")]).await;
    bare.shell("rm -f /bin/sh /usr/bin/sh");
    let hup = Step::Signal(Signal::Hup);
    expect("no shell", &bare, &[(gunicorn.clone(), Broken, "no shell"), (hup, Doubtful, "no shell")]).await;
    crate::bench::say(&["pause", &bare.name]);
    expect("paused", &bare, &[(gunicorn, Doubtful, "paused")]).await;
    crate::bench::say(&["unpause", &bare.name]);
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn the_command_says_what_would_not_work_and_ends_with_1() {
    let container = start(STARTS[1].1);
    let address = container.address(80);
    let folder = std::env::temp_dir().join(format!("remora-doctor-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let doctor = |heal: &str, server: &str, json: bool| {
        let file = folder.join("remora.yaml");
        let text = format!("routes:\n  /: api\nupstreams:\n  api: {{ servers: \"{server}\", heal: {heal} }}\n");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_remora"));
        command.arg("doctor").arg(&file).args(json.then_some("--json"));
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let well = doctor("gunicorn", &address.to_string(), false);
    assert!(well.0 == Some(0) && well.1.contains("all checks passed"), "{well:?}");
    let (code, said) = doctor("[signal: HUP, gunicorn]", &address.to_string(), true);
    assert_eq!(code, Some(1), "{said}");
    let cases: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(cases[0]["container"], container.name.as_str());
    let verdicts: Vec<_> = cases[0]["findings"].as_array().unwrap().iter().map(|one| &one["verdict"]).collect();
    assert_eq!(verdicts[..2], ["works", "broken"], "{said}");

    let nowhere = doctor("gunicorn", "127.0.0.1:9", false);
    assert!(nowhere.0 == Some(1) && nowhere.1.contains("does not accept connections"), "{nowhere:?}");
    let unknown = doctor("gunicorn", "no-such-name.invalid:80", false);
    assert!(unknown.0 == Some(1) && unknown.1.contains("does not resolve"), "{unknown:?}");
    std::fs::remove_dir_all(&folder).unwrap();
}
