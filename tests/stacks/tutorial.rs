//! deploy/tutorial.

use std::net::TcpListener;
use std::process::Command;

use http::Method;
use serde_json::Value;

use crate::compose::{Project, docker, eventually, root, text};
use crate::load::{CLIENT_TIMEOUT, Client, Load, get, question};
use crate::readme::{Readme, image};

const PORT: u16 = 18511;
const HELLO: &str = "import urllib.request as r; print(r.urlopen('http://frontend:9000/', timeout=5).read().decode())";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Docker and the images: make stacks"]
async fn tutorial() {
    let named = [Container("tutorial-api"), Container("tutorial-page"), Container("remora-tutorial-elsewhere")];
    named.iter().for_each(Container::remove);
    let (page, api) = (free_port(), free_port());
    let origin = format!("http://localhost:{page}");
    let files = &["deploy/tutorial/compose.yml"];
    let mut project = Project::new("tutorial", PORT, files).with("PAGE_ORIGIN", &origin);

    every_step_works_as_typed(page, api, &origin).await;
    project.up(&["--scale", "api=2"]);
    project.answers("/").await;
    project.answers("/api").await;
    project.all_up("edge", "api", 2).await;
    only_the_edge_is_published(&project);
    the_page_shows_both_servers(&project).await;
    pages_of_other_origins(&project, page).await;
    scaling_costs_nothing(&project).await;
}

/// The README from its first command to its last, with the browser looking where the README says what a reader sees.
async fn every_step_works_as_typed(page: u16, api: u16, origin: &str) {
    let readme = Readme::of("tutorial", PORT)
        .with("PAGE_PORT", &page.to_string())
        .with("API_PORT", &api.to_string())
        .with("PAGE_ORIGIN", origin)
        .with("PYTHON_IMAGE", &image("PYTHON_IMAGE", "python:3.12-slim", "remora-base/python:bookworm"))
        .reading("9000:9000", &format!("{page}:9000"))
        .reading("8000:8000", &format!("{api}:8000"))
        .reading("0.0.0.0:8000 failed", &format!("0.0.0.0:{api} failed"))
        .reading("localhost:9000", &format!("localhost:{page}"))
        .reading("localhost:8000", &format!("localhost:{api}"))
        .reading("localhost/", &format!("localhost:{PORT}/"))
        .reading("0.0.0.0:80->", &format!("0.0.0.0:{PORT}->"));
    readme.follow("1. One image").await;
    readme.follow("2. The back end").await;
    readme.follow("3. The front end").await;
    assert_eq!(visit(origin, 0, &[])["trouble"], "No answer: the answer was 404 Not Found");
    readme.follow("4. Connected").await;
    let seen = visit(origin, 3, &[]);
    assert_eq!((answers(&seen).len(), &seen["trouble"]), (4, &Value::Null), "{seen}");
    readme.follow("5. Compose").await;
    readme.follow("6. The proxy").await;
    readme.follow("7. Scale").await;
    readme.follow("Clean up").await;
}

/// What `docker port` tells of every container.
fn only_the_edge_is_published(project: &Project) {
    let mine = format!("label=com.docker.compose.project={}", project.name());
    let containers = docker(&["ps", "-q", "--filter", &mine]);
    assert_eq!(containers.lines().count(), 4, "{containers}");
    let ports: Vec<_> =
        containers.lines().map(|one| docker(&["port", one])).filter(|ports| !ports.is_empty()).collect();
    assert_eq!(ports.len(), 1, "{ports:?}");
    assert!(ports[0].lines().all(|line| line.starts_with("80/tcp -> ") && line.ends_with(":18511")), "{ports:?}");
    // Inside the network the page is on port 9000.
    let inside = docker(&["exec", &project.containers("api")[0], "python", "-c", HELLO]);
    assert!(inside.contains("<title>Who answered?</title>"), "{inside}");
}

async fn the_page_shows_both_servers(project: &Project) {
    let seen = visit(&format!("http://127.0.0.1:{PORT}"), 9, &["watch"]);
    let shown = answers(&seen);
    assert_eq!(shown.len(), 10, "{seen}");
    assert!(shown.windows(2).all(|pair| pair[0] != pair[1]), "the servers alternate: {shown:?}");
    let mut names: Vec<_> = shown[..2].to_vec();
    let mut servers: Vec<_> = project.containers("api").iter().map(|id| id[..12].to_owned()).collect();
    names.sort();
    servers.sort();
    assert_eq!(names, servers, "the page names the containers");
    let counts: Vec<_> = seen["tally"].as_array().unwrap().iter().map(|row| row[1].as_u64().unwrap()).collect();
    assert_eq!(counts, [5, 5], "{seen}");
    assert_eq!(
        (&seen["trouble"], &seen["by_itself"], &seen["console"]),
        (&Value::Null, &true.into(), &Value::Array(vec![]))
    );
    println!("the page showed {shown:?}");
}

/// The same page, served from another port: to the edge it is of an origin that may ask, or by its other name may not.
async fn pages_of_other_origins(project: &Project, port: u16) {
    let (published, api_url) = (format!("127.0.0.1:{port}:9000"), format!("API_URL=http://127.0.0.1:{PORT}/api"));
    let options = ["--name", "remora-tutorial-elsewhere", "-p", &published, "-e", &api_url, "remora-tutorial:latest"];
    docker(&[&["run", "-d"], &options[..], &["gunicorn", "--bind", "0.0.0.0:9000", "page:app"]].concat());
    let elsewhere = ([127, 0, 0, 1], port).into();
    eventually("the other page is there", || async { get(elsewhere, "/health").await.is_ok() }).await;

    let (allowed, refused) = (format!("http://localhost:{port}"), format!("http://127.0.0.1:{port}"));
    let seen = visit(&allowed, 3, &[]);
    let shown = answers(&seen);
    assert!(shown.len() == 4 && shown.windows(2).all(|pair| pair[0] != pair[1]), "{seen}");
    assert_eq!((&seen["with_own_header"], &seen["trouble"]), (&200.into(), &Value::Null), "{seen}");

    let seen = visit(&refused, 3, &[]);
    assert!(answers(&seen).is_empty(), "{seen}");
    assert_eq!(
        (&seen["trouble"], &seen["with_own_header"]),
        (&"No answer: Failed to fetch".into(), &"Failed to fetch".into())
    );
    assert!(seen["console"].to_string().contains("blocked by CORS policy"), "{seen}");
    println!("a page of {allowed} is served, one of {refused} is not: {}", seen["console"][0]);

    // What the browser asks beforehand is answered by the edge alone.
    for (origin, status) in [(&allowed, 204), (&refused, 403)] {
        let mut preflight = question(Method::OPTIONS, project.front(), "/api", "");
        preflight.headers_mut().insert("origin", origin.parse().unwrap());
        preflight.headers_mut().insert("access-control-request-method", "GET".parse().unwrap());
        let answer = Client::new().ask(preflight, CLIENT_TIMEOUT).await.unwrap();
        assert_eq!((answer.status, answer.header("x-served-by")), (status, ""), "{origin}");
        let named = answer.header("access-control-allow-origin");
        assert_eq!(named, if status == 204 { origin.as_str() } else { "" });
    }
}

/// `docker-compose up -d --scale api=N` as the README has it, while requests come.
async fn scaling_costs_nothing(project: &Project) {
    project.compose(&["up", "-d", "--no-build", "--scale", "api=1"]);
    project.all_up("edge", "api", 1).await;
    let load = Load::start(project.front(), "/api", 100);
    let mut took = Vec::new();
    for count in [2, 1, 2] {
        let scale = format!("api={count}");
        project.compose(&["up", "-d", "--no-build", "--scale", &scale]);
        took.push(format!(
            "{count}: {:.1} s after the command",
            project.all_up("edge", "api", count).await.as_secs_f64()
        ));
    }
    let outcome = load.end().await;
    println!("scale 1→2→1→2: {outcome}; up {}; {:?}", took.join(", "), outcome.servers());
    assert_eq!(outcome.failed(), 0, "{outcome}");
    assert!(2 <= outcome.servers().len(), "the first, and those that came");
}

/// What Chromium shows after so many presses of the page's button.
fn visit(address: &str, presses: usize, more: &[&str]) -> Value {
    let script = root().join("tests/stacks/browser/tutorial.mjs");
    let mut node = Command::new("timeout");
    let output =
        node.args(["60", "node"]).arg(script).args([address, &presses.to_string()]).args(more).output().unwrap();
    assert!(output.status.success(), "{address}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The servers' names on the page, one after another.
fn answers(seen: &Value) -> Vec<String> {
    seen["answers"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// A port that nobody has now.
fn free_port() -> u16 {
    TcpListener::bind(("0.0.0.0", 0)).unwrap().local_addr().unwrap().port()
}

/// A container that the README starts by name, removed at the end whatever happens.
struct Container(&'static str);

impl Container {
    fn remove(&self) {
        let removed = Command::new("docker").args(["rm", "-f", self.0]).output().unwrap();
        let error = text(&removed.stderr);
        assert!(removed.status.success() || error.contains("No such container"), "{error}");
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.remove();
    }
}
