//! deploy/fullstack; where the databases' public images are not here, with Debian's PostgreSQL and the stand-in for MongoDB
//! (compose.standin.yml).

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use http::{HeaderValue, Method};
use serde_json::{Value, json};

use crate::compose::{Project, docker, eventually, root, text};
use crate::load::{Answer, CLIENT_TIMEOUT, Client, Load, Outcome, Question, get, question, send};
use crate::readme::{Readme, image};

const PORT: u16 = 18513;
const FILES: [&str; 2] = ["deploy/fullstack/compose.yml", "deploy/fullstack/compose.standin.yml"];
/// Requests a second of each load; there are two at a time.
const RATE: u32 = 75;
const HELD: &str = "/api/health/databases";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Docker and the images: make stacks"]
async fn fullstack() {
    let is_here = |public: &str| image("FULLSTACK_IMAGE", public, "") == public;
    let files = if is_here("postgres:17") && is_here("mongo:7") { &FILES[..1] } else { &FILES[..] };
    let mut project = Project::new("fullstack", PORT, files);
    project.up(&[]);
    project.answers("/").await;
    project.answers(HELD).await;
    project.all_up("edge", "api", 1).await;

    the_readme_works_as_typed().await;
    let kept = both_halves_create_read_update_and_delete(&project).await;
    bad_input_is_refused(&project).await;
    data_survive_a_restart(&project, &kept).await;
    the_page_works(&project);
    scaling_costs_nothing(&project).await;

    let before = processes(&project);
    let failed_checks = project.log("edge").matches("of api is down").count();
    for half in [USERS, DOCUMENTS] {
        the_other_half_goes_on(&project, half, "killed", ["kill", "start"]).await;
        the_other_half_goes_on(&project, half, "frozen", ["pause", "unpause"]).await;
    }
    assert_eq!(before, processes(&project), "Gunicorn and its workers are the same processes as before the outages");
    assert_eq!(project.log("edge").matches("of api is down").count(), failed_checks, "no check fails for a database");
    assert_eq!(project.status("edge")["heals"], json!([]), "nobody is healed for a database");
}

/// One of the two databases and what is kept in it.
#[derive(Clone, Copy)]
struct Half {
    /// The service and upstream.
    database: &'static str,
    path: &'static str,
    /// In the answer of `/api/health/databases`, and the page's half.
    name: &'static str,
}
const USERS: Half = Half { database: "postgres", path: "/api/users", name: "users" };
const DOCUMENTS: Half = Half { database: "mongo", path: "/api/documents", name: "documents" };

impl Half {
    fn other(self) -> Self {
        if self.database == USERS.database { DOCUMENTS } else { USERS }
    }

    /// Reads, and every fifth a write.
    fn load(self, project: &Project) -> Load {
        let to = project.front();
        let stamp = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        Load::of(RATE, move |count| {
            if count % 5 != 4 {
                return question(Method::GET, to, &format!("{}?limit=5", self.path), "");
            }
            let body = match self.name {
                "users" => json!({ "name": "Load", "email": format!("{stamp}.{count}@example.com") }),
                _ => json!({ "title": "Load", "tags": ["load"] }),
            };
            question(Method::POST, to, self.path, &body.to_string())
        })
    }
}

fn parsed(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("no JSON: {} {}", answer.status, answer.body))
}

/// The containers' names and projects are those of the test, so the README's commands find them.
async fn the_readme_works_as_typed() {
    let readme = Readme::of("fullstack", PORT)
        .with("COMPOSE_FILE", "compose.yml:compose.standin.yml")
        .reading("localhost/", &format!("localhost:{PORT}/"));
    for heading in ["Start", "Users", "Documents", "Take a database away", "More replicas"] {
        readme.follow(heading).await;
    }
}

/// Returns the paths of what is left in each.
async fn both_halves_create_read_update_and_delete(project: &Project) -> Vec<String> {
    #[rustfmt::skip]
    let halves = [
        (USERS, json!({ "name": "Ada", "email": "ada@example.org" }), json!({ "name": "Ada L" }), json!({ "name": "A", "email": "a@example.org" })),
        (DOCUMENTS, json!({ "title": "Grüße", "text": "…", "tags": ["a", "b"] }), json!({ "tags": ["c"] }), json!({ "title": "T", "text": "", "tags": [] })),
    ];
    let mut kept = Vec::new();
    for (half, whole, part, replacement) in halves {
        let ask = async |method, path: &str, body: &str| send(method, project.front(), path, body).await.unwrap();
        let made = ask(Method::POST, half.path, &whole.to_string()).await;
        let path = made.header("location").to_owned();
        assert_eq!((made.status, path.starts_with(half.path)), (201, true), "{}", made.body);
        has(&parsed(&made), &whole);
        assert_eq!(parsed(&ask(Method::GET, &path, "").await), parsed(&made), "a GET says what the POST said");

        let changed = parsed(&ask(Method::PATCH, &path, &part.to_string()).await.well());
        has(&changed, &part);
        assert_ne!(changed["updated"], changed["created"]);
        has(&parsed(&ask(Method::PUT, &path, &replacement.to_string()).await.well()), &replacement);
        has(&parsed(&ask(Method::GET, &path, "").await), &replacement);

        let second = ask(Method::POST, half.path, &whole.to_string()).await;
        assert_eq!(second.status, 201, "{}", second.body);
        let listed = parsed(&ask(Method::GET, &format!("{}?limit=100", half.path), "").await);
        let listed = listed[half.name].as_array().unwrap();
        assert!(listed.contains(&parsed(&second)), "{listed:?}");
        assert_eq!(ask(Method::DELETE, second.header("location"), "").await.status, 204);
        for method in [Method::GET, Method::DELETE] {
            assert_eq!(ask(method, second.header("location"), "").await.status, 404);
        }
        kept.push(path);
    }
    let tagged = parsed(&get(project.front(), "/api/documents?tag=nobody-has-this").await.unwrap());
    assert_eq!(tagged["documents"], json!([]));
    kept
}

fn has(whole: &Value, part: &Value) {
    for (name, value) in part.as_object().unwrap() {
        assert_eq!(&whole[name], value, "{name} in {whole}");
    }
}

async fn bad_input_is_refused(project: &Project) {
    let long = format!(r#"{{"name":"{}","email":"l@example.com"}}"#, "x".repeat(121));
    let deep = "[".repeat(100_000);
    let digits = format!("/api/users/{}", "1".repeat(4000));
    let large = format!(r#"{{"title":"{}"}}"#, "x".repeat(1024 * 1024));
    const JSON: &str = "application/json";
    #[rustfmt::skip]
    let rows = [
        // method         path                                      content type  body                                      status
        (Method::POST,   "/api/users",                              JSON,         "{not json",                              400),
        (Method::POST,   "/api/users",                              JSON,         "[]",                                     400),
        (Method::POST,   "/api/users",                              JSON,         "{}",                                     400),
        (Method::POST,   "/api/users",                              JSON,         r#"{"name":"A"}"#,                        400),
        (Method::POST,   "/api/users",                              JSON,         r#"{"name":7,"email":"a@example.com"}"#,  400),
        (Method::POST,   "/api/users",                              JSON,         r#"{"name":"A","email":"nowhere"}"#,      400),
        (Method::POST,   "/api/users",                              JSON,         r#"{"name":"A","email":"a@b.c","x":1}"#,  400),
        (Method::POST,   "/api/users",                              JSON,         r#"{"name":"\u0000","email":"a@b.c"}"#,   400),
        (Method::POST,   "/api/users",                              JSON,         r#"{"name":"\ud800","email":"a@b.c"}"#,   400),
        (Method::POST,   "/api/users",                              JSON,         &long,                                    400),
        (Method::POST,   "/api/users",                              JSON,         &deep,                                    400),
        (Method::POST,   "/api/users",                              "text/plain", r#"{"name":"A","email":"a@b.c"}"#,        415),
        (Method::POST,   "/api/users",                              JSON,         r#"{"name":"A","email":"A@EXAMPLE.org"}"#, 409),
        (Method::PATCH,  "/api/users/1",                            JSON,         "{}",                                     400),
        (Method::PATCH,  "/api/users/999999999",                    JSON,         r#"{"name":"A"}"#,                        404),
        (Method::GET,    "/api/users/99999999999999999999999999",   JSON,         "",                                       404),
        (Method::GET,    "/api/users/1%20OR%201=1",                 JSON,         "",                                       404),
        (Method::GET,    "/api/users?limit=0",                      JSON,         "",                                       400),
        (Method::GET,    "/api/users?limit=000000001999999",        JSON,         "",                                       400),
        (Method::GET,    &digits,                                   JSON,         "",                                       404),
        (Method::GET,    "/api/users?after='",                      JSON,         "",                                       400),
        (Method::DELETE, "/api/users",                              JSON,         "",                                       405),
        (Method::POST,   "/api/documents",                          JSON,         "{not json",                              400),
        (Method::POST,   "/api/documents",                          JSON,         r#"{"text":"no title"}"#,                 400),
        (Method::POST,   "/api/documents",                          JSON,         r#"{"title":{"$ne":""}}"#,                400),
        (Method::POST,   "/api/documents",                          JSON,         r#"{"title":"T","tags":"a"}"#,            400),
        (Method::POST,   "/api/documents",                          JSON,         r#"{"title":"T","tags":[""]}"#,           400),
        (Method::POST,   "/api/documents",                          JSON,         r#"{"title":"T","$set":{}}"#,             400),
        (Method::POST,   "/api/documents",                          JSON,         &large,                                   413),
        (Method::POST,   "/api/documents",                          "text/plain", r#"{"title":"T"}"#,                       415),
        (Method::PUT,    "/api/documents/ffffffffffffffffffffffff", JSON,         r#"{"title":"T"}"#,                       404),
        (Method::GET,    "/api/documents/no-id",                    JSON,         "",                                       404),
        (Method::GET,    "/api/documents?after=no-id",              JSON,         "",                                       400),
        (Method::GET,    "/api/nothing",                            JSON,         "",                                       404),
    ];
    for (method, path, kind, body, status) in rows {
        let mut asked: Question = question(method.clone(), project.front(), path, body);
        if !body.is_empty() {
            asked.headers_mut().insert("content-type", HeaderValue::from_static(kind));
        }
        let answer = Client::new().ask(asked, CLIENT_TIMEOUT).await.unwrap();
        let shown = &body[..body.len().min(60)];
        assert_eq!(answer.status, status, "{method} {path} {shown}: {}", answer.body);
        assert!(parsed(&answer)["error"].is_string(), "{method} {path} {shown}: {}", answer.body);
    }
}

async fn data_survive_a_restart(project: &Project, kept: &[String]) {
    let mut before = Vec::new();
    for path in kept {
        before.push(parsed(&get(project.front(), path).await.unwrap().well()));
    }
    project.compose(&["restart", "-t", "20", "postgres", "mongo"]);
    let start = Instant::now();
    for (path, before) in kept.iter().zip(before) {
        eventually("it is there again", || async {
            get(project.front(), path).await.is_ok_and(|answer| answer.status == 200 && parsed(&answer) == before)
        })
        .await;
    }
    println!("both databases restarted: all data there {:.1} s later", start.elapsed().as_secs_f64());
}

fn the_page_works(project: &Project) {
    let seen = browse(project, &[]);
    assert_eq!(
        seen["users"],
        json!({ "made": "Grace · grace@example.com", "changed": "Changed · grace@example.com", "trouble": "" })
    );
    assert_eq!(
        seen["documents"],
        json!({ "made": "From the page · typed in", "changed": "Changed · typed in", "trouble": "" })
    );
    assert_eq!(seen["console"], json!([]));
}

/// What tests/stacks/browser/fullstack.mjs prints.
fn browse(project: &Project, more: &[&str]) -> Value {
    let script = root().join("tests/stacks/browser/fullstack.mjs");
    let address = format!("http://{}/", project.front());
    let output = Command::new("timeout").args(["60", "node"]).arg(script).arg(address).args(more).output().unwrap();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    serde_json::from_str(&text(&output.stdout)).unwrap()
}

async fn scaling_costs_nothing(project: &Project) {
    for service in ["api", "web"] {
        let loads = match service {
            "api" => vec![USERS.load(project), DOCUMENTS.load(project)],
            _ => vec![Load::start(project.front(), "/", RATE)],
        };
        project.compose(&["up", "-d", "--no-build", "--scale", &format!("{service}=3")]);
        project.all_up("edge", service, 3).await;
        // All of them have served before two of them go.
        eventually("all three serve", || async {
            let mut names = BTreeSet::new();
            for _ in 0..6 {
                let answer = get(project.front(), if service == "api" { "/api/health" } else { "/" }).await.unwrap();
                names.insert(answer.header("x-served-by").to_owned());
            }
            names.len() == 3
        })
        .await;
        project.compose(&["up", "-d", "--no-build", "--scale", &format!("{service}=1")]);
        project.all_up("edge", service, 1).await;
        for load in loads {
            let outcome = load.end().await;
            println!("{service} 1→3→1 at {:.0}/s: {outcome}", outcome.rate());
            assert_eq!((outcome.failed(), outcome.servers().len()), (0, 3), "{outcome}");
        }
    }
    project.compose(&["up", "-d", "--no-build", "--scale", "api=2"]);
    project.all_up("edge", "api", 2).await;
    eventually("both replicas have their databases", || async {
        let mut well = 0;
        for _ in 0..4 {
            well += u32::from(get(project.front(), HELD).await.unwrap().status == 200);
        }
        well == 4
    })
    .await;
}

/// A database is taken away and given back while both halves are asked for: its own half says so in time and comes back by
/// itself, the other one loses nothing.
async fn the_other_half_goes_on(project: &Project, half: Half, what: &str, [take, give]: [&str; 2]) {
    let container = &project.containers(half.database)[0];
    let (sick, well) = (half.load(project), half.other().load(project));
    tokio::time::sleep(Duration::from_secs(1)).await;

    docker(&[take, container]);
    let taken = Instant::now();
    let noticed = eventually("it is refused", || async { refusal(project, half).await.is_some() }).await;
    // Long enough for the edge's checks, and for what happens only after a while.
    eventually("the edge has seen it, and refusals are quick", || async {
        let seen = project.states("edge", half.database).iter().all(|state| state != "up");
        let quick = refusal(project, half).await.is_some_and(|took| took < Duration::from_millis(500));
        (seen || what == "frozen") && quick && Duration::from_secs(6) < taken.elapsed()
    })
    .await;
    // One whose requests happened to be all for the sick half may be out for seconds; never for its check, and never all.
    let states = project.states("edge", "api");
    assert!(states.iter().any(|state| state == "up") && !states.iter().any(|state| state == "down"), "{states:?}");
    let health = get(project.front(), "/api/health").await.unwrap();
    assert_eq!((health.status, parsed(&health)), (200, json!({ "status": "ok" })));
    let held = get(project.front(), HELD).await.unwrap();
    let held = (held.status, parsed(&held));
    assert_eq!((held.0, &held.1[half.other().name]), (503, &json!("ok")), "{}", held.1);
    assert_ne!(held.1[half.name], "ok");
    if what == "killed" {
        let page = browse(project, &[half.name]);
        let told = format!("The database of {} is not available at the moment.", half.name);
        assert_eq!((&page[half.name], &page[half.other().name]), (&json!(told), &json!("")), "{page}");
    }

    docker(&[give, container]);
    let given = Instant::now();
    let away = taken.elapsed();
    eventually("everybody answers again", || async {
        let mut well = 0;
        for _ in 0..4 {
            well += u32::from(get(project.front(), HELD).await.unwrap().status == 200);
        }
        well == 4
    })
    .await;
    project.all_up("edge", half.database, 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (sick, well) = (sick.end().await, well.end().await);
    let back = sick.last_harm(given).unwrap_or_default();
    println!(
        "{} {what} for {:.1} s: {}: refused from {:.1} s, {sick}; back {:.1} s after; {}: {well}",
        half.database,
        away.as_secs_f64(),
        half.name,
        noticed.as_secs_f64(),
        back.as_secs_f64(),
        half.other().name,
    );
    assert_eq!(well.failed(), 0, "{}: {well}\n{}", half.other().name, project.log("api"));
    only_refused(&sick);
    assert!(back < Duration::from_secs(10), "back after {back:?}");
}

/// How long a refusal took; `None` where the answer is another.
async fn refusal(project: &Project, half: Half) -> Option<Duration> {
    let asked = Instant::now();
    let answer = get(project.front(), half.path).await.unwrap();
    let took = asked.elapsed();
    (answer.status == 503).then(|| {
        assert_eq!((parsed(&answer)["database"].as_str(), answer.header("retry-after")), (Some(half.database), "1"));
        took
    })
}

/// Every request was answered: well or with 503, never with another error and never not at all.
fn only_refused(outcome: &Outcome) {
    assert_eq!(outcome.failures(), format!("{} x 503", outcome.failed()), "{outcome}");
}

/// The processes of all replicas of the API as the host counts them.
fn processes(project: &Project) -> Vec<String> {
    project.containers("api").iter().map(|container| docker(&["top", container, "-o", "pid,args"])).collect()
}
