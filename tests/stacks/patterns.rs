//! deploy/patterns, each by itself; then one project moved from the first to the last as docs/patterns.md says, by the very
//! differences that it shows, while clients read and write.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::Method;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::calm::{self, overloads};
use crate::compose::{Project, docker, eventually, root, text};
use crate::load::{CLIENT_TIMEOUT, Client, Load, get, question, send};

const PORT: u16 = 18516;
const RATE: u32 = 20;
const FILES: [&str; 2] = ["compose.yml", "conf/remora.yaml"];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Docker and the images: make stacks"]
async fn the_patterns() {
    for (pattern, page) in
        [("monolith", "<h1>Notes</h1>"), ("two-tier", "<h1>Notes</h1>"), ("three-tier", "id=\"root\"")]
    {
        starts_and_answers(pattern, page).await;
    }
    grows_in_place().await;
}

async fn starts_and_answers(pattern: &str, page: &str) {
    let mut project = Project::new(pattern, PORT, &[&format!("deploy/patterns/{pattern}/compose.yml")]);
    project.up(&[]);
    project.answers("/").await;
    project.answers("/api/notes/").await;
    assert!(get(project.front(), "/").await.unwrap().body.contains(page), "{pattern} has its page");
    send(Method::POST, project.front(), "/api/notes/", r#"{"title":"bread"}"#).await.unwrap().well();
    let notes = get(project.front(), "/api/notes/").await.unwrap().well();
    assert!(notes.body.contains("bread"), "{}", notes.body);
    if pattern == "three-tier" {
        scaling_costs_nothing(&project).await;
    }
}

async fn scaling_costs_nothing(project: &Project) {
    // Three of the page's files for one list of notes, as a browser asks.
    let (to, paths) = (project.front(), ["/", "/", "/", "/api/notes/"]);
    let load = |part: u32| Load::of(100 / part, move |count| question(Method::GET, to, paths[count % paths.len()], ""));
    for service in ["frontend", "backend"] {
        let what = format!("three-tier: {service} scaled 1→3→1");
        calm::costs(
            0,
            &what,
            || project.log("edge"),
            load,
            async || {
                for count in [3, 1] {
                    let scale = format!("{service}={count}");
                    project.compose(&["up", "-d", "--no-build", "--no-recreate", "--scale", &scale]);
                    project.all_up("edge", service, count).await;
                }
            },
        )
        .await;
    }
}

/// The copy of the patterns that one project is moved through; as deep as the originals, for the files name others.
fn workplace() -> PathBuf {
    let place = root().join("target/patterns");
    if place.exists() {
        std::fs::remove_dir_all(&place).unwrap();
    }
    for folder in ["app", "monolith"] {
        copy(&root().join("deploy/patterns").join(folder), &place.join(folder));
    }
    place.join("monolith")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The differences that the document shows under a heading.
fn shown(heading: &str) -> String {
    let document = std::fs::read_to_string(root().join("docs/patterns.md")).unwrap();
    let below = document.split_once(&format!("\n### {heading}\n")).unwrap().1;
    let block = below.split_once("```diff\n").unwrap().1.split_once("```").unwrap().0;
    block.to_owned()
}

/// Applies what the document shows to one of the files in place, as an editor would.
fn edit(place: &Path, heading: &str, file: &str) {
    let mut git = Command::new("git");
    // Outside every repository it simply patches.
    git.env("GIT_CEILING_DIRECTORIES", place.parent().unwrap()).current_dir(place);
    git.args(["apply", "-p0", "--include", file, "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut applying = git.spawn().unwrap();
    applying.stdin.take().unwrap().write_all(shown(heading).as_bytes()).unwrap();
    let output = applying.wait_with_output().unwrap();
    assert!(output.status.success(), "{heading}: {}", text(&output.stderr));
}

/// Whether the files have become the next pattern's.
fn is_now(place: &Path, pattern: &str) {
    for file in FILES {
        let is = std::fs::read_to_string(place.join(file)).unwrap();
        let should = std::fs::read_to_string(root().join("deploy/patterns").join(pattern).join(file)).unwrap();
        assert_eq!(is, should, "{file} of {pattern}");
    }
}

/// A client that writes notes one after another, and remembers those it was told are kept.
struct Writer {
    kept: Arc<Mutex<Vec<String>>>,
    failed: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Writer {
    fn start(project: &Project, step: &str) -> Self {
        let (kept, failed): (Arc<Mutex<Vec<_>>>, Arc<Mutex<Vec<_>>>) = Default::default();
        let (to, step) = (project.front(), step.to_owned());
        let (keeps, fails) = (Arc::clone(&kept), Arc::clone(&failed));
        let task = tokio::spawn(async move {
            let client = Client::new();
            for count in 0.. {
                let title = format!("{step} {count}");
                let body = format!(r#"{{"title":"{title}"}}"#);
                match client.ask(question(Method::POST, to, "/api/notes/", &body), CLIENT_TIMEOUT).await {
                    Ok(answer) if answer.status == 201 => keeps.lock().unwrap().push(title),
                    Ok(answer) => fails.lock().unwrap().push(answer.status.to_string()),
                    Err(error) => fails.lock().unwrap().push(error),
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
        Self { kept, failed, task }
    }

    /// How many were kept, and what went wrong; every one that was kept must be there.
    async fn end(self, project: &Project) -> (usize, Vec<String>) {
        self.task.abort();
        let kept = self.kept.lock().unwrap().clone();
        let mut there = BTreeSet::new();
        let mut path = Some("/api/notes/".to_owned());
        while let Some(next) = path {
            let page: Value = serde_json::from_str(&get(project.front(), &next).await.unwrap().well().body).unwrap();
            there.extend(
                page["results"].as_array().unwrap().iter().map(|note| note["title"].as_str().unwrap().to_owned()),
            );
            path = page["next"].as_str().map(|url| url[url.find("/api").unwrap()..].to_owned());
        }
        for title in &kept {
            assert!(there.contains(title), "the note `{title}` was kept and is lost");
        }
        (kept.len(), self.failed.lock().unwrap().clone())
    }
}

/// Makes one step while clients read and write. `bearable` is how many of all requests may fail; more only where this machine,
/// which others use too, had so little left that the edge says overload.
async fn step(project: &Project, name: &str, bearable: usize, doing: impl AsyncFnOnce()) {
    let before = overloads(&project.log("edge"));
    let (load, writer) = (Load::start(project.front(), "/api/notes/", RATE), Writer::start(project, name));
    let start = Instant::now();
    doing().await;
    let took = start.elapsed().as_secs_f64();
    let outcome = load.end().await;
    let (kept, failed) = writer.end(project).await;
    let overloaded = overloads(&project.log("edge")).saturating_sub(before);
    println!(
        "{name} in {took:.1} s: {outcome}; {kept} notes written and found again, {} failed {failed:?}",
        failed.len()
    );
    assert!(0 < kept, "notes were written");
    assert!(outcome.failed() + failed.len() <= bearable || 0 < overloaded, "{name}: {outcome}, {failed:?}");
}

async fn grows_in_place() {
    let place = workplace();
    let mut project = Project::new("patterns", PORT, &["target/patterns/monolith/compose.yml"]);
    project.up(&[]);
    project.answers("/api/notes/").await;

    // A POST that is on its way into the one container that stops is not sent twice.
    step(&project, "a release of the monolith", 2, async || {
        project.compose(&["up", "-d", "--no-build", "--force-recreate", "app"]);
        project.all_up("edge", "app", 1).await;
    })
    .await;
    step(&project, "from monolith to two-tier", 2, async || to_two_tier(&project, &place).await).await;
    step(&project, "from two-tier to three-tier", 0, async || to_three_tier(&project, &place).await).await;
    // The edge itself is started anew: nobody listens for a moment.
    step(&project, "from three-tier to manager-based", usize::MAX, async || to_manager(&project, &place).await).await;
    it_heals(&project).await;
    // The old place of the notes, which no file names any more.
    docker(&["volume", "rm", &format!("{}_data", project.name())]);
}

async fn to_two_tier(project: &Project, place: &Path) {
    let heading = "From monolith to two-tier";
    for file in FILES {
        edit(place, heading, file);
    }
    is_now(place, "two-tier");
    project.compose(&["up", "-d", "--no-build", "database"]);
    project.compose(&["run", "--rm", "-T", "app", "python", "manage.py", "migrate_when_ready"]);
    project.compose(&["stop", "app"]);
    let held = Instant::now();
    let volume = format!("{}_data:/var/tmp", project.name());
    let pipe = "MYSQL_HOST= python manage.py dumpdata notes | python manage.py loaddata --format=json -";
    project.compose(&["run", "--rm", "-T", "-v", &volume, "app", "sh", "-c", pipe]);
    project.compose(&["up", "-d", "--no-build", "app"]);
    project.all_up("edge", "app", 1).await;
    println!("the app was away for {:.1} s", held.elapsed().as_secs_f64());
    project.compose(&["up", "-d", "--no-build", "--no-recreate", "--scale", "app=2"]);
    project.all_up("edge", "app", 2).await;
}

async fn to_three_tier(project: &Project, place: &Path) {
    let heading = "From two-tier to three-tier";
    edit(place, heading, "compose.yml");
    project.compose(&["up", "-d", "--no-build"]);
    assert!(get(project.front(), "/").await.unwrap().body.contains("<h1>Notes</h1>"), "still the app's page");
    edit(place, heading, "conf/remora.yaml");
    is_now(place, "three-tier");
    project.compose(&["exec", "-T", "edge", "remora", "reload"]);
    project.all_up("edge", "frontend", 1).await;
    project.all_up("edge", "backend", 1).await;
    eventually("the page is the frontend's", || async {
        get(project.front(), "/").await.is_ok_and(|answer| answer.body.contains("id=\"root\""))
    })
    .await;
    project.compose(&["up", "-d", "--no-build", "--remove-orphans"]);
    // By its labels: the two Composes name containers differently.
    let label = |name: &str, value: &str| format!("label=com.docker.compose.{name}={value}");
    let (ours, app) = (label("project", project.name()), label("service", "app"));
    assert_eq!(docker(&["ps", "-aq", "--filter", &ours, "--filter", &app]), "", "the app is gone");
}

async fn to_manager(project: &Project, place: &Path) {
    let heading = "From three-tier to manager-based";
    for file in FILES {
        edit(place, heading, file);
    }
    project.compose(&["up", "-d", "--no-build", "edge"]);
    eventually("the edge is back", || async { get(project.front(), "/").await.is_ok_and(|a| a.status == 200) }).await;
    project.all_up("edge", "backend", 1).await;
    let doctor = project.compose(&["exec", "-T", "edge", "remora", "doctor"]);
    assert!(doctor.contains("all checks passed"), "{doctor}");
}

async fn it_heals(project: &Project) {
    let database = project.containers("database");
    let killed = Instant::now();
    project.compose(&["exec", "-T", "database", "pkill", "-KILL", "mariadbd"]);
    let notes = || async { get(project.front(), "/api/notes/").await.is_ok_and(|answer| answer.status == 200) };
    eventually("the notes are gone", || async { !notes().await }).await;
    eventually("the notes are back", notes).await;
    println!("the killed database was healed after {:.1} s", killed.elapsed().as_secs_f64());
    assert_eq!(project.containers("database"), database, "in its container");
    assert!(project.log("edge").contains("heal"), "the log tells the heal");
}
