//! deploy/assignment.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::Value;

use crate::calm;
use crate::compose::{Project, docker, eventually};
use crate::load::{Load, get, send};
use crate::readme::{Readme, image};

const PORT: u16 = 18512;
/// The services, and the ports that they listen on in the network.
const INSIDE: [(&str, u16); 4] = [("backend", 8000), ("postgres", 5432), ("redis", 6379), ("mongo", 27017)];
const STORES: [&str; 3] = ["postgres", "redis", "mongo"];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Docker and the images: make stacks"]
async fn assignment() {
    let images = [
        ("POSTGRES_IMAGE", image("POSTGRES_IMAGE", "postgres:17", "remora-base/postgres:bookworm")),
        ("REDIS_IMAGE", image("REDIS_IMAGE", "redis:7", "remora-base/redis:bookworm")),
        ("MONGO_IMAGE", image("MONGO_IMAGE", "mongo:7", "remora-base/mongo:bookworm")),
    ];
    let project = Project::new("assignment", PORT, &["deploy/assignment/compose.yml"]);
    let mut project = images.iter().fold(project, |project, (name, value)| project.with(name, value));
    let readme = images.iter().fold(Readme::of("assignment", PORT), |readme, (name, value)| readme.with(name, value));
    let readme = readme
        .reading("localhost:3000", &format!("localhost:{PORT}"))
        .reading("0.0.0.0:3000", &format!("0.0.0.0:{PORT}"));
    // What somebody else has on this machine is neither ours to close nor a proof against us.
    let free: Vec<_> = INSIDE.into_iter().filter(|(_, port)| !answers_on_the_host(*port)).collect();
    println!("free before: {free:?}");

    readme.follow("1. Just the stores").await;
    just_the_stores_run(&project);
    readme.follow("2. Everything").await;
    readme.follow("3. What is published").await;
    if free.len() == INSIDE.len() {
        readme.follow("4. From your machine").await;
    }
    only_the_edge_is_published(&project, &free);
    for step in ["5. From inside the network", "6. What `expose` does not do", "7. Watched", "Clean up"] {
        readme.follow(step).await;
    }

    project.up(&[]);
    project.answers("/health").await;
    rows_and_counts(&project).await;
    scaling_costs_nothing(&project).await;
    for store in STORES {
        a_killed_store_comes_back(&project, store).await;
    }
}

/// The services that run.
fn running(project: &Project) -> Vec<String> {
    let mine = format!("label=com.docker.compose.project={}", project.name());
    let service = "{{.Label \"com.docker.compose.service\"}}";
    let mut services: Vec<_> =
        docker(&["ps", "--filter", &mine, "--format", service]).lines().map(str::to_owned).collect();
    services.sort();
    services
}

fn just_the_stores_run(project: &Project) {
    assert_eq!(running(project), ["mongo", "postgres", "redis"]);
    assert!(!answers_on_the_host(PORT), "no edge yet");
}

/// Whether somebody accepts connections on a port of this machine.
fn answers_on_the_host(port: u16) -> bool {
    TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_secs(1)).is_ok()
}

/// What `docker port` tells of every container, and what connecting tells.
fn only_the_edge_is_published(project: &Project, free: &[(&str, u16)]) {
    assert_eq!(running(project), ["backend", "edge", "mongo", "postgres", "redis"]);
    for (service, port) in INSIDE {
        let container = &project.containers(service)[0];
        assert_eq!(docker(&["port", container]), "", "{service} publishes nothing");
        let exposed = docker(&["inspect", "--format", "{{json .Config.ExposedPorts}}", container]);
        assert!(exposed.contains(&format!("\"{port}/tcp\"")), "{service}: {exposed}");
    }
    let edge = docker(&["port", &project.containers("edge")[0]]);
    assert!(edge.lines().all(|line| line.starts_with("80/tcp -> ") && line.ends_with(":18512")), "{edge}");
    assert!(answers_on_the_host(PORT), "the edge");
    for (service, port) in free {
        assert!(!answers_on_the_host(*port), "{service} answers on this machine's port {port}");
    }
    assert!(!free.is_empty(), "every port of {INSIDE:?} is somebody else's here");
    println!("published: {edge:?}; refused on the host: {free:?}");
}

/// Whole answers of the back end, right and wrong.
async fn rows_and_counts(project: &Project) {
    let to = project.front();
    let home = async || serde_json::from_str::<Value>(&get(to, "/").await.unwrap().well().body).unwrap();
    let (before, after) = (home().await, home().await);
    let visits = |seen: &Value| seen["redis"]["visits"].as_u64().unwrap();
    assert_eq!(visits(&after), visits(&before) + 1, "{before} {after}");
    assert_eq!((&after["postgres"]["guests"], &after["mongo"]), (&0.into(), &"ok".into()), "the volumes were new");

    let name = "Robert'); DROP TABLE guests;--";
    let made = send(Method::POST, to, "/guests", &serde_json::json!({ "name": name }).to_string()).await.unwrap();
    assert_eq!(made.status, 201, "{}", made.body);
    let listed: Value = serde_json::from_str(&get(to, "/guests").await.unwrap().well().body).unwrap();
    assert_eq!(listed["guests"][0]["name"], name, "{listed}");
    for wrong in ["{}", r#"{"name":""}"#, r#"{"name":7}"#, "{", "[]", r#"{"name":"a\u0000b"}"#] {
        let answer = send(Method::POST, to, "/guests", wrong).await.unwrap();
        assert_eq!((answer.status, answer.header("x-served-by").is_empty()), (400, false), "{wrong}: {}", answer.body);
        assert!(serde_json::from_str::<Value>(&answer.body).unwrap()["detail"].is_string());
    }
    assert_eq!(get(to, "/nothing").await.unwrap().status, 404);
}

async fn scaling_costs_nothing(project: &Project) {
    let log = || project.log("edge");
    let load = |part: u32| Load::start(project.front(), "/", 50 / part);
    let outcome = calm::costs(0, "assignment scaled 1→3→1", log, load, async || {
        for count in [3, 1] {
            project.compose(&["up", "-d", "--no-build", "--scale", &format!("backend={count}")]);
            let took = project.all_up("edge", "backend", count).await.as_secs_f64();
            println!("{count}: all up {took:.1} s after the command");
        }
    })
    .await;
    assert_eq!(outcome.servers().len(), 3);
}

/// The back end says within a second which store is away, the edge too, and all is well soon after the store is back.
async fn a_killed_store_comes_back(project: &Project, store: &str) {
    let to = project.front();
    let rows = get(to, "/guests").await.unwrap().well().body;
    let container = project.containers(store)[0].clone();
    let load = Load::start(to, "/", 40);
    tokio::time::sleep(Duration::from_secs(1)).await;
    docker(&["kill", &container]);
    let killed = Instant::now();
    let seen = eventually("the health page names the store", || async {
        let asked = Instant::now();
        let Ok(answer) = get(to, "/health").await else { return false };
        assert!(asked.elapsed() < Duration::from_secs(3), "an answer after {:?}", asked.elapsed());
        let Ok(body) = serde_json::from_str::<Value>(&answer.body) else { return false };
        answer.status == 503 && body[store] != "ok" && STORES.iter().all(|one| *one == store || body[one] == "ok")
    })
    .await;
    // A container that is gone is out of the network's names, and so no longer a backend of its upstream.
    eventually("the edge knows too", || async { !project.states("edge", store).contains(&"up".to_owned()) }).await;
    let noticed = killed.elapsed();
    docker(&["start", &container]);
    let started = Instant::now();
    eventually("all is well", || async { get(to, "/health").await.is_ok_and(|answer| answer.status == 200) }).await;
    let well = started.elapsed();
    project.all_up("edge", store, 1).await;
    project.all_up("edge", "backend", 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let outcome = load.end().await;
    println!(
        "{store} killed: {outcome}; named by /health after {:.1} s, by the edge after {:.1} s; well {:.1} s after `docker start`",
        seen.as_secs_f64(),
        noticed.as_secs_f64(),
        well.as_secs_f64()
    );
    // Every failure lies between the kill and the recovery: what came before and after was served.
    let last = outcome.last_harm(started).unwrap_or_default();
    assert!(last < well + Duration::from_secs(5), "harm until {last:?} after the start, well after {well:?}");
    assert!(
        outcome.first_harm().is_none_or(|first| outcome.start() + first + Duration::from_secs(1) > killed),
        "{outcome}"
    );
    assert_eq!(get(to, "/guests").await.unwrap().well().body, rows, "nothing is lost");
}
