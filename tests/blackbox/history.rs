//! What was reloaded, and bringing one back.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use crate::harness::{Origin, TestEdge, eventually};

fn site(upstream: &Origin) -> String {
    format!("routes:\n  /: pool\nupstreams:\n  pool: {{ servers: {} }}\n", upstream.server())
}

/// The journal is where a restarted edge finds it.
async fn start(state: &Path, site: &str) -> TestEdge {
    TestEdge::start_with(&format!("journal: {}\n", state.join("heals.jsonl").display()), site).await
}

async fn answers(edge: &TestEdge, name: &str) -> bool {
    edge.client().get("/").await.body == name
}

async fn history(edge: &TestEdge) -> Vec<Value> {
    let told = edge.command(&["history", "--json"]).await;
    assert!(told.status.success(), "{told:?}");
    serde_json::from_slice(&told.stdout).unwrap()
}

/// Results and origins, oldest first.
async fn summed_up(edge: &TestEdge) -> Vec<(u64, String, String)> {
    let word = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
    let entries = history(edge).await;
    entries.iter().map(|entry| (entry["id"].as_u64().unwrap(), word(entry, "origin"), word(entry, "result"))).collect()
}

fn rows(rows: &[(u64, &str, &str)]) -> Vec<(u64, String, String)> {
    rows.iter().map(|(id, origin, result)| (*id, (*origin).to_owned(), (*result).to_owned())).collect()
}

/// What a command printed, both ways, and its exit code.
async fn told(edge: &TestEdge, arguments: &[&str]) -> (Option<i32>, String) {
    let output = edge.command(arguments).await;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code(), text)
}

/// At once: the watcher may look at any moment.
fn replace(file: &Path, text: &str) {
    let beside = file.with_file_name(".beside");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, file).unwrap();
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn every_reload_is_listed_also_after_a_restart_and_holds_no_secret() {
    let (a, b) = (Origin::named("a").await, Origin::named("b").await);
    let state = tempfile::tempdir().unwrap();
    let mut edge = start(state.path(), &site(&a)).await;
    let with_secret = format!(
        "routes:\n  /: pool\n  /x: pool\nupstreams:\n  pool: {{ servers: {}, check: {{ http: /, headers: {{ Authorization: hunter2 }} }} }}\n",
        b.server()
    );
    let file = std::fs::read_to_string(edge.file()).unwrap();
    let head = file.replace(&site(&a), "");
    let write = |edge: &TestEdge, site: &str| replace(&edge.file(), &format!("{head}{site}"));
    write(&edge, &with_secret);
    eventually("the edit is in force", || answers(&edge, "b")).await;
    write(&edge, "routes:\n  /: nowhere\nupstreams:\n  pool: { servers: \"mysql://root:hunter2@db:3306\" }\n");
    assert_eq!(told(&edge, &["reload"]).await.0, Some(2));
    write(&edge, &site(&a));
    edge.signal("HUP");
    eventually("the signal is obeyed", || answers(&edge, "a")).await;
    let by = summed_up(&edge).await;
    assert_eq!((&by[0].1, &by[0].2, &by[1].1), (&"start".to_owned(), &"accepted".to_owned(), &"file".to_owned()));
    assert_eq!((by.len(), &by[2].2, &by[3].2), (4, &"refused".to_owned(), &"accepted".to_owned()));
    let entries = history(&edge).await;
    assert_eq!(entries[1]["differences"], "1 upstream changed (pool), 1 route added (/x)");
    assert!(entries[2]["differences"].as_str().unwrap().contains("remora.yaml:"), "{entries:?}");
    assert_eq!((&entries[3]["in_force"], &entries[2]["in_force"]), (&Value::Bool(true), &Value::Bool(false)));
    let (code, text) = told(&edge, &["history"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("file change") && text.contains("in force"), "{text}");
    assert!(!text.contains("hunter2") && !serde_json::to_string(&entries).unwrap().contains("hunter2"), "{text}");

    let kept = state.path().join("heals.jsonl.history");
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    edge.signal("TERM");
    assert_eq!(edge.ended().await, Some(0));
    let again = start(state.path(), &site(&b)).await;
    eventually("the start is listed", || async { history(&again).await.len() == 5 }).await;
    assert_eq!(history(&again).await[..3], entries[..3]);
    let last = history(&again).await.pop().unwrap();
    assert_eq!((last["id"].as_u64(), last["origin"].as_str()), (Some(5), Some("start")));
}

#[tokio::test]
async fn a_rollback_writes_the_file_and_the_file_may_change_again() {
    let (a, b, c) = (Origin::named("a").await, Origin::named("b").await, Origin::named("c").await);
    let edge = TestEdge::start(&site(&a)).await;
    let first = std::fs::read_to_string(edge.file()).unwrap();
    edge.edit(&site(&b));
    eventually("the edit is in force", || answers(&edge, "b")).await;
    mode(&edge.file(), 0o640);
    let (code, text) = told(&edge, &["rollback"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("1 upstream changed (pool)") && text.contains("entry 1\n"), "{text}");
    assert!(text.contains(&format!("written: {}", edge.file().display())), "{text}");
    assert!(text.contains("what the files said before is entry 2: remora rollback 2"), "{text}");
    assert!(answers(&edge, "a").await, "the command answers when it is in force");
    assert_eq!(std::fs::read_to_string(edge.file()).unwrap(), first);
    assert_eq!(std::fs::metadata(edge.file()).unwrap().permissions().mode() & 0o777, 0o640);
    let (_, text) = told(&edge, &["reload"]).await;
    assert!(text.contains("nothing changed"), "{text}");
    assert!(edge.status().await["process"]["rolled_back_to"].is_null());
    edge.edit(&site(&c));
    eventually("an edit after it is in force", || answers(&edge, "c")).await;
    let (code, text) = told(&edge, &["rollback", "2", "--json"]).await;
    let done: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, done["to"].as_u64(), &done["not_written"]), (Some(0), Some(2), &Value::Null));
    assert!(answers(&edge, "b").await);
    let expected = [
        (1, "start", "accepted"),
        (2, "file", "accepted"),
        (3, "rollback", "accepted"),
        (4, "file", "accepted"),
        (5, "rollback", "accepted"),
    ];
    assert_eq!(summed_up(&edge).await, rows(&expected));
}

#[tokio::test]
async fn a_file_that_cannot_be_written_stays_and_everybody_is_told() {
    let (a, b) = (Origin::named("a").await, Origin::named("b").await);
    let edge = TestEdge::start(&site(&a)).await;
    edge.edit(&site(&b));
    eventually("the edit is in force", || answers(&edge, "b")).await;
    let second = std::fs::read_to_string(edge.file()).unwrap();
    mode(&edge.file(), 0o444);
    let (code, text) = told(&edge, &["rollback"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("warning: the files still say otherwise: ") && text.contains("is read-only"), "{text}");
    assert!(text.contains("`remora reload` returns to what they say"), "{text}");
    assert!(answers(&edge, "a").await);
    assert_eq!(std::fs::read_to_string(edge.file()).unwrap(), second);
    assert_eq!(edge.status().await["process"]["rolled_back_to"].as_u64(), Some(3));
    let (_, text) = told(&edge, &["status"]).await;
    assert!(text.contains("not that of the files: entry 3"), "{text}");
    // Its neighbours change and its own bytes do not: that is no change of the file.
    std::fs::write(edge.folder.path().join("other.txt"), "x").unwrap();
    std::fs::File::open(edge.file()).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(answers(&edge, "a").await);
    let (_, text) = told(&edge, &["reload"]).await;
    assert!(text.contains("1 upstream changed (pool)"), "{text}");
    assert!(answers(&edge, "b").await && edge.status().await["process"]["rolled_back_to"].is_null());
    told(&edge, &["rollback"]).await;
    assert!(answers(&edge, "a").await);
    edge.edit(&format!("{}# mended\n", site(&b)));
    eventually("a change of the file returns to it", || answers(&edge, "b")).await;
}

#[tokio::test]
async fn what_is_wrong_by_now_is_refused_and_nothing_is_lost() {
    let a = Origin::named("a").await;
    let edge = TestEdge::start(&site(&a)).await;
    edge.edit("routes:\n  /: nowhere\nupstreams: {}\n");
    let (code, _) = told(&edge, &["reload"]).await;
    assert_eq!(code, Some(2));
    let broken = std::fs::read_to_string(edge.file()).unwrap();
    let (code, text) = told(&edge, &["rollback", "2"]).await;
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("entry 2 cannot be brought back:") && text.contains("`nowhere`"), "{text}");
    assert_eq!(std::fs::read_to_string(edge.file()).unwrap(), broken);
    let (code, text) = told(&edge, &["rollback", "99"]).await;
    assert_eq!((code, text.trim()), (Some(2), "there is no entry 99; `remora history` lists them"));
    // Without a number the refused text makes place for what is in force.
    let (code, text) = told(&edge, &["rollback"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("nothing changed") && text.contains("entry 2: remora rollback 2"), "{text}");
    assert!(std::fs::read_to_string(edge.file()).unwrap().contains(&site(&a)) && answers(&edge, "a").await);
}

#[tokio::test]
async fn a_state_folder_that_cannot_be_written_costs_one_line() {
    let (a, b) = (Origin::named("a").await, Origin::named("b").await);
    let state = tempfile::tempdir().unwrap();
    // A folder in its place fails for root too.
    std::fs::create_dir(state.path().join("heals.jsonl.history")).unwrap();
    let edge = start(state.path(), &site(&a)).await;
    let write = |origin: &Origin| {
        let text = std::fs::read_to_string(edge.file()).unwrap();
        let head = text.split("routes:").next().unwrap();
        replace(&edge.file(), &format!("{head}{}", site(origin)));
    };
    for (origin, name) in [(&b, "b"), (&a, "a")] {
        write(origin);
        assert_eq!(told(&edge, &["reload"]).await.0, Some(0));
        assert!(answers(&edge, name).await);
    }
    assert!(edge.told("history of reloads in memory only"));
    let lines = edge.log().iter().filter(|line| line.contains("history of reloads in memory only")).count();
    assert_eq!(lines, 1, "{:#?}", edge.log());
    assert_eq!(history(&edge).await.len(), 3);
    assert_eq!(told(&edge, &["rollback"]).await.0, Some(0));
    assert!(answers(&edge, "b").await);
}

#[tokio::test]
async fn what_a_new_version_changes_for_a_file_is_told_once() {
    let a = Origin::named("a").await;
    let state = tempfile::tempdir().unwrap();
    let news = "new default in this version: pool: requests wait up to 10s";
    let listed = async |edge: &TestEdge| {
        eventually("the start is listed", || async { !history(edge).await.is_empty() }).await;
    };
    // Where nothing was before, nothing is new.
    let edge = start(state.path(), &site(&a)).await;
    listed(&edge).await;
    assert!(!told(&edge, &["reload"]).await.1.contains(news) && !edge.logged(news));
    drop(edge);
    // A journal without a history: an older version ran here.
    std::fs::remove_file(state.path().join("heals.jsonl.history")).unwrap();
    std::fs::write(state.path().join("heals.jsonl"), "{}\n").unwrap();
    let edge = start(state.path(), &site(&a)).await;
    listed(&edge).await;
    assert!(edge.told(news), "{:#?}", edge.log());
    assert!(!told(&edge, &["reload"]).await.1.contains(news));
    drop(edge);
    let edge = start(state.path(), &site(&a)).await;
    listed(&edge).await;
    assert!(!told(&edge, &["reload"]).await.1.contains(news) && !edge.logged(news));
    // Where no place would tell, the first reload says it.
    let edge = TestEdge::start(&site(&a)).await;
    assert!(told(&edge, &["reload"]).await.1.contains(news));
    assert!(!told(&edge, &["reload"]).await.1.contains(news));
}

#[test]
fn check_names_what_a_file_gets_by_defaults_that_changed() {
    let check = |upstream: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("remora.yaml");
        std::fs::write(&file, format!("routes: {{ /: app }}\nupstreams: {{ app: {upstream} }}\n")).unwrap();
        let mut check = std::process::Command::new(env!("CARGO_BIN_EXE_remora"));
        let checked = check.arg("check").arg(file).output().unwrap();
        assert_eq!(checked.status.code(), Some(0));
        String::from_utf8(checked.stderr).unwrap()
    };
    let said = check("{ servers: app:8000, check: /, heal: gunicorn }");
    assert_eq!(said.lines().filter(|line| line.starts_with("  app: ")).count(), 3, "{said}");
    assert!(
        said.starts_with("new defaults in this version")
            && said.contains("`hold: 0`")
            && said.contains("`budget: 3/24h`"),
        "{said}"
    );
    assert_eq!(check("{ servers: app:8000, hold: 10s }"), "");
}
