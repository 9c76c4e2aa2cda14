//! deploy/swarm, on a swarm of this one machine, which is left at the end if it was made here.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use http::Method;

use crate::calm;
use crate::compose::{docker, eventually, root, text};
use crate::load::{Load, Outcome, get, question, send};

const STACK: &str = "remora-swarm";
const FRONT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 18515);
const RATE: u32 = 100;
/// The network that Docker makes for every swarm and leaves behind.
const GATEWAY: &str = "docker_gwbridge";

/// The stack, deployed from a copy of its folder, for its configuration is edited.
struct Swarm {
    folder: PathBuf,
    made: bool,
    gateway_made: bool,
    started: Instant,
}

impl Swarm {
    fn up() -> Self {
        let made = docker(&["info", "--format", "{{.Swarm.LocalNodeState}}"]) != "active";
        let gateway_made = docker(&["network", "ls", "-q", "--filter", &format!("name={GATEWAY}")]).is_empty();
        let folder = root().join("target/stacks/swarm");
        std::fs::create_dir_all(folder.join("conf")).unwrap();
        for file in ["compose.yml", "database.sh", "conf/remora.yaml"] {
            std::fs::copy(root().join("deploy/swarm").join(file), folder.join(file)).unwrap();
        }
        if made {
            docker(&["swarm", "init", "--advertise-addr", "127.0.0.1"]);
        }
        let swarm = Self { folder, made, gateway_made, started: Instant::now() };
        // Nobody is asked which image a name stands for: they are here.
        let deploy = ["stack", "deploy", "--resolve-image", "never", "-c", "compose.yml", STACK];
        let output =
            Command::new("docker").args(deploy).current_dir(&swarm.folder).env("REMORA_PORT", "18515").output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        swarm
    }

    fn conf(&self) -> PathBuf {
        self.folder.join("conf/remora.yaml")
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        let run = |arguments: &[&str]| text(&Command::new("docker").args(arguments).output().unwrap().stdout);
        if std::thread::panicking() {
            let log = run(&["service", "logs", "--raw", &service("edge")]);
            let refused: Vec<_> = log.lines().filter(|line| line.contains("\" 50")).take(5).collect();
            println!("--- edge\n{}", refused.join("\n"));
            let edge = Command::new("docker").args(["service", "logs", "--raw", &service("edge")]).output().unwrap();
            println!("{}", text(&edge.stderr));
            println!("--- tasks\n{}", run(&["stack", "ps", "--no-trunc", STACK]));
        }
        if std::env::var_os("KEEP_STACK").is_some() {
            return;
        }
        run(&["stack", "rm", STACK]);
        let ours = format!("label=com.docker.stack.namespace={STACK}");
        let start = Instant::now();
        while !run(&["ps", "-aq", "--filter", &ours]).is_empty() && start.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(200));
        }
        run(&["volume", "rm", &service("database")]);
        if self.made && nobody_else() {
            run(&["swarm", "leave", "--force"]);
            if self.gateway_made {
                run(&["network", "rm", GATEWAY]);
            }
        }
    }
}

/// Docker takes every container off every attachable network when it leaves a swarm, and docker-compose 1 makes its networks
/// so. So the swarm is left only while no other stack runs.
fn nobody_else() -> bool {
    let networks = docker(&["network", "ls", "-q", "--filter", "scope=local"]);
    let networks: Vec<_> = networks.lines().collect();
    let format = "{{.Name}} {{.Attachable}} {{len .Containers}}";
    let used = docker(&[&["network", "inspect", "--format", format], networks.as_slice()].concat());
    let others: Vec<_> = used.lines().filter(|line| line.contains(" true ") && !line.ends_with(" 0")).collect();
    if !others.is_empty() {
        println!("swarm: not left, for these would lose their network: {others:?}; `docker swarm leave --force` later");
    }
    others.is_empty()
}

fn service(name: &str) -> String {
    format!("{STACK}_{name}")
}

/// The running containers of a service.
fn tasks(name: &str) -> Vec<String> {
    let label = format!("label=com.docker.swarm.service.name={}", service(name));
    docker(&["ps", "-q", "--filter", &label]).lines().map(str::to_owned).collect()
}

/// The states of an upstream's backends, those that are leaving left out; nothing while the edge does not answer.
fn states(upstream: &str) -> Vec<String> {
    let Some(edge) = tasks("edge").pop() else { return Vec::new() };
    let shown = Command::new("docker").args(["exec", &edge, "remora", "status", "--json"]).output().unwrap();
    let Ok(status) = serde_json::from_slice::<serde_json::Value>(&shown.stdout) else { return Vec::new() };
    let found = status["upstreams"].as_array().unwrap().iter().find(|entry| entry["name"] == upstream).unwrap();
    let states = found["backends"].as_array().unwrap().iter().map(|backend| backend["state"].as_str().unwrap());
    states.filter(|state| *state != "draining").map(str::to_owned).collect()
}

async fn all_up(upstream: &str, count: usize) -> Duration {
    let all = vec!["up"; count];
    eventually("everyone is up", || async { states(upstream) == all }).await
}

/// Three of the page's files for one list of notes, as a browser asks.
fn load(part: u32) -> Load {
    let paths = ["/", "/", "/", "/api/notes/"];
    Load::of(RATE / part, move |count| question(Method::GET, FRONT, paths[count % paths.len()], ""))
}

/// Waits until the swarm says that it is done.
fn service_command(arguments: &[&str]) {
    docker(&[&["service"], arguments].concat());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Docker and the images: make stacks"]
async fn the_swarm_stack() {
    let swarm = Swarm::up();
    for path in ["/", "/api/health"] {
        eventually(path, || async { get(FRONT, path).await.is_ok_and(|answer| answer.status == 200) }).await;
    }
    println!("swarm: answers {:.1} s after `docker stack deploy`", swarm.started.elapsed().as_secs_f64());
    all_up("frontend", 2).await;
    all_up("backend", 2).await;
    assert!(get(FRONT, "/").await.unwrap().body.contains("<div id=\"root\">"), "the page is there");
    send(Method::POST, FRONT, "/api/notes/", r#"{"title":"kept"}"#).await.unwrap().well();

    scaling_costs_nothing().await;
    rolling_costs_nothing().await;
    a_broken_release_is_taken_back().await;
    an_edit_costs_nothing(&swarm).await;
    a_killed_task_is_replaced().await;
    a_killed_database_comes_back().await;
    the_edge_is_replaced().await;
}

/// Does something under load, of which no more than `bearable` requests may fail.
async fn costs(bearable: usize, what: &str, doing: impl AsyncFnMut()) -> Outcome {
    let log = || {
        let log = Command::new("docker").args(["service", "logs", "--raw", &service("edge")]).output().unwrap();
        text(&log.stderr)
    };
    calm::costs(bearable, &format!("swarm: {what}"), log, load, doing).await
}

async fn scaling_costs_nothing() {
    for name in ["frontend", "backend"] {
        costs(0, &format!("{name} scaled 2→1→3→1→2"), async || {
            for count in [1, 3, 1, 2] {
                service_command(&["scale", "-d", &format!("{}={count}", service(name))]);
                eventually("the swarm is done", || async { tasks(name).len() == count }).await;
                all_up(name, count).await;
            }
        })
        .await;
    }
}

async fn rolling_costs_nothing() {
    for name in ["frontend", "backend"] {
        let before = tasks(name);
        let outcome = costs(0, &format!("{name} rolled"), async || {
            service_command(&["update", "--force", "-q", "-d=false", &service(name)]);
            all_up(name, 2).await;
        })
        .await;
        let after = tasks(name);
        assert!(after.iter().all(|task| !before.contains(task)), "every task is a new one: {before:?} {after:?}");
        for task in after {
            assert!(outcome.servers().keys().any(|server| task.starts_with(server)), "{task} served");
        }
    }
}

async fn a_broken_release_is_taken_back() {
    let (name, before) = (service("backend"), tasks("backend"));
    // Never healthy, so it never replaces anybody.
    let broken =
        ["--health-cmd", "false", "--health-retries", "1", "--health-interval", "1s", "--health-start-period", "0s"];
    costs(0, "a release that never gets healthy", async || {
        service_command(&[&["update", "-q", "-d=false"], broken.as_slice(), &[&name]].concat());
        let state = docker(&["service", "inspect", "--format", "{{.UpdateStatus.State}}", &name]);
        assert_eq!(state, "rollback_completed");
        all_up("backend", 2).await;
    })
    .await;
    let after = tasks("backend");
    assert!(before.iter().any(|task| after.contains(task)), "not everyone was replaced: {before:?} {after:?}");
}

async fn an_edit_costs_nothing(swarm: &Swarm) {
    let good = std::fs::read_to_string(swarm.conf()).unwrap();
    costs(0, "an edit of remora.yaml", async || {
        let more = good.replace("routes:\n", "routes:\n  /notes: { to: backend, strip: true }\n");
        for (file, routed) in [(&more, true), (&good, false)] {
            std::fs::write(swarm.conf(), file).unwrap();
            eventually("the edit is in force", || async {
                let to_backend = get(FRONT, "/notes/api/health").await;
                to_backend.is_ok_and(|answer| answer.body.contains("database_ms") == routed)
            })
            .await;
        }
    })
    .await;
}

async fn a_killed_task_is_replaced() {
    // Only what was in flight there.
    costs(2, "a backend killed and replaced", async || {
        let before = tasks("backend");
        docker(&["kill", &before[0]]);
        eventually("another task is there", || async {
            let now = tasks("backend");
            now.len() == 2 && !now.contains(&before[0])
        })
        .await;
        all_up("backend", 2).await;
    })
    .await;
}

async fn a_killed_database_comes_back() {
    let backends = tasks("backend");
    let (load, start) = (load(1), Instant::now());
    docker(&["kill", &tasks("database")[0]]);
    eventually("it is missed", || async { get(FRONT, "/api/notes/").await.is_ok_and(|answer| answer.status == 503) })
        .await;
    eventually("the notes are back", || async {
        get(FRONT, "/api/notes/").await.is_ok_and(|answer| answer.body.contains("kept"))
    })
    .await;
    let took = start.elapsed().as_secs_f64();
    all_up("backend", 2).await;
    let outcome = load.end().await;
    println!("swarm: the database killed, notes again after {took:.1} s: {outcome}");
    assert_eq!(tasks("backend"), backends, "no backend is replaced for the database's sickness");
}

/// On one node its port is free for a moment; the README says so. Nothing else may come of it.
async fn the_edge_is_replaced() {
    let (load, start) = (load(1), Instant::now());
    service_command(&["update", "--force", "-q", "-d=false", &service("edge")]);
    eventually("it answers", || async { get(FRONT, "/api/health").await.is_ok_and(|answer| answer.status == 200) })
        .await;
    let outcome = load.end().await;
    println!("swarm: the edge itself replaced: {outcome}");
    let harmed = outcome.last_harm(start).unwrap_or_default() - outcome.first_harm().unwrap_or_default();
    assert!(harmed < Duration::from_secs(15), "{outcome}");
}
