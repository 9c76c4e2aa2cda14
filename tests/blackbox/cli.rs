//! The command line as a user types it.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::harness::{Certificate, Client, Origin, Running, TestEdge, eventually};

fn remora(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_remora")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_broken_file_gets_its_recorded_report() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/bad_config");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let path = format!("tests/fixtures/bad_config/{name}");
        let mut check = Command::new(env!("CARGO_BIN_EXE_remora"));
        let checked = check.args(["check", &path]).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        assert_eq!(checked.status.code(), Some(2), "{name}");
        let report = std::fs::read_to_string(file.with_extension("report")).unwrap();
        if name == "tls.yaml" {
            // The records are made without a look into files, and this one names some that are not there.
            assert_eq!(apart_from_files(&text(&checked.stderr)), apart_from_files(&report), "{name}");
        } else {
            assert_eq!(text(&checked.stderr), report, "{name}");
        }
        seen += 1;
    }
    assert!(20 <= seen, "only {seen} fixtures found");
}

/// The problems of a report, but for files that cannot be read, and for their count.
fn apart_from_files(report: &str) -> Vec<&str> {
    let is_other = |block: &&str| block.contains("-->") && !block.starts_with("error: cannot read the ");
    report.split("\n\n").filter(is_other).collect()
}

#[test]
fn shipped_files_are_right() {
    let root = env!("CARGO_MANIFEST_DIR");
    for file in ["conf/remora.yaml", "deploy/minimal/conf/remora.yaml"] {
        let checked = remora(&["check", &format!("{root}/{file}")]);
        assert_eq!(checked.status.code(), Some(0), "{file}: {}", text(&checked.stderr));
    }
}

/// The text of a YAML block in a document: what follows `start` up to `end`, with an indent removed.
fn block(document: &str, start: &str, end: &str, indent: usize) -> String {
    let path = format!("{}/{document}", env!("CARGO_MANIFEST_DIR"));
    let whole = std::fs::read_to_string(path).unwrap();
    let inner = whole.split_once(start).unwrap().1.split_once(end).unwrap().0;
    inner.lines().map(|line| format!("{}\n", line.get(indent..).unwrap_or(""))).collect()
}

#[test]
fn what_the_documents_show_is_right() {
    let site = "routes: { /: app }\nupstreams: { app: app:8000 }\n";
    let whole = block("README.md", "A whole configuration, `remora.yaml`:\n\n```yaml\n", "```", 0);
    let reference = "docs/reference.md";
    let tls = block(reference, "TLS ends at a listener in its long form:\n\n```yaml\n", "```", 0);
    let auth = block(reference, "Traefik with ForwardAuth:\n\n```yaml\n", "```", 0);
    let merge = block(reference, "(`<<: [*a, *b]`) the first.\n\n```yaml\n", "```", 0);
    let upstreams = "upstreams: { products: products:8000, orders: orders:8000, users: users:8000 }\n";
    let shown = [
        ("README.md", whole),
        (reference, merge),
        (reference, format!("{tls}{site}")),
        (reference, format!("{auth}{upstreams}")),
        ("deploy/kubernetes/remora.yaml", block("deploy/kubernetes/remora.yaml", "remora.yaml: |\n", "\n---", 4)),
    ];
    for (document, yaml) in shown {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("remora.yaml");
        std::fs::write(&file, &yaml).unwrap();
        std::fs::create_dir(folder.path().join("tls")).unwrap();
        let certificate =
            Certificate { pem: folder.path().join("tls/fullchain.pem"), key: folder.path().join("tls/privkey.pem") };
        certificate.renew("a.example");
        let checked = remora(&["check", file.to_str().unwrap()]);
        assert_eq!(checked.status.code(), Some(0), "{document}:\n{yaml}\n{}", text(&checked.stderr));
    }
}

#[test]
fn a_file_is_checked_from_standard_input() {
    let check = |text: &str| {
        let mut check = Command::new(env!("CARGO_BIN_EXE_remora"));
        let pipes = check.args(["check", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(text.as_bytes()); // the edge stops reading after 1 MiB
        child.wait_with_output().unwrap()
    };
    let good = check("routes: { /: app }\nupstreams: { app: app:8000 }\n");
    assert_eq!((good.status.code(), text(&good.stdout).as_str()), (Some(0), "<stdin> is valid: 1 route, 1 upstream\n"));
    let bad = check("routes: { /: apq }\nupstreams: { app: app:8000 }\n");
    assert_eq!(bad.status.code(), Some(2));
    assert!(text(&bad.stderr).contains("--> <stdin>:1:14") && text(&bad.stderr).contains("did you mean `app`?"));
    assert_eq!(check(&"#".repeat(2 << 20)).status.code(), Some(2), "an endless text is not read to its end");
}

/// `remora check FILE` as a user who may read only what everybody may.
fn check_as_anybody(binary: &Path, file: &Path) -> Output {
    let mut check = Command::new(binary);
    check.arg("check").arg(file);
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        check.uid(65_534).gid(65_534);
    }
    check.output().unwrap()
}

#[test]
fn a_folder_that_cannot_be_read_is_said_to_be_so() {
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    open(folder.path(), 0o755);
    // The checkout may be where nobody else may go.
    let binary = folder.path().join("remora");
    let built = Path::new(env!("CARGO_BIN_EXE_remora"));
    std::fs::hard_link(built, &binary).or_else(|_| std::fs::copy(built, &binary).map(drop)).unwrap();
    let conf = folder.path().join("conf");
    std::fs::create_dir_all(conf.join("parts/a")).unwrap();
    let file = conf.join("remora.yaml");
    std::fs::write(&file, "include: parts/*/up.yaml\nroutes: { /: app }\nupstreams: { app: app:80 }\n").unwrap();
    std::fs::write(conf.join("parts/a/up.yaml"), "upstreams: { b: b:80 }\n").unwrap();
    let good = check_as_anybody(&binary, &file);
    assert_eq!(good.status.code(), Some(0), "{}", text(&good.stderr));
    for closed in ["conf/parts/a", "conf"] {
        let closed = folder.path().join(closed);
        open(&closed, 0o700);
        if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
            open(&closed, 0);
        }
        let checked = check_as_anybody(&binary, &file);
        open(&closed, 0o755);
        let said = text(&checked.stderr);
        assert_eq!(checked.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("cannot read the folder `{}`: permission denied", closed.display())), "{said}");
    }
}

#[test]
fn the_setup_names_what_it_cannot_install() {
    let folder = tempfile::tempdir().unwrap();
    let rustc = folder.path().join("rustc");
    let setup = |version: &str| {
        std::fs::write(&rustc, format!("#!/bin/sh\necho 'rustc {version} (0123 2026-01-01)'\n")).unwrap();
        std::fs::set_permissions(&rustc, std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/setup.sh");
        // Asked for something that is there, and told of Rust before anything would be installed.
        let ended = Command::new(script).arg("sh").env("PATH", path).output().unwrap();
        (ended.status.success(), text(&ended.stderr))
    };
    let (done, said) = setup("1.85.1");
    assert!(!done && said.contains("Rust 1.85.1 is too old, ") && said.contains("or newer is needed"), "{said}");
    assert!(setup("99.0.0").0, "a newer one is fine");
}

#[test]
fn the_schema_is_json() {
    let schema = remora(&["check", "--schema"]);
    assert!(schema.status.success());
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).unwrap();
    assert!(schema["properties"]["upstreams"].is_object());
}

#[test]
fn exit_codes_are_an_api() {
    assert_eq!(remora(&["--version"]).status.code(), Some(0));
    assert_eq!(remora(&["--help"]).status.code(), Some(0));
    assert_eq!(remora(&["frobnicate"]).status.code(), Some(64));
    assert_eq!(remora(&["check", "no-such-file.yaml"]).status.code(), Some(2));
    assert_eq!(remora(&["status", "--admin", "127.0.0.1:9"]).status.code(), Some(1));
}

#[tokio::test]
async fn status_is_a_table_and_json() {
    let api = Origin::named("api").await;
    let edge =
        TestEdge::start(&format!("routes:\n  /x: api\nupstreams:\n  api: {{ servers: {} }}\n", api.server())).await;
    eventually("it is up", || async { edge.states("api").await == ["up"] }).await;
    edge.client().get("/x").await;
    let table = edge.command(&["status"]).await;
    let shown = text(&table.stdout);
    assert!(table.status.success() && shown.contains("/x") && shown.contains(&api.address.to_string()), "{shown}");
    let json = edge.command(&["status", "--json"]).await;
    let status: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(status["upstreams"][0]["backends"][0]["requests"], 1);
}

#[tokio::test]
async fn a_start_before_its_backends_is_no_error() {
    let api = Origin::named("api").await;
    let server = api.server();
    api.kill();
    for (hold, told) in [("0", "upstream api: no backend is up yet"), ("10s", "of api is not up yet")] {
        let upstream = format!("{{ servers: {server}, check: {{ tcp: true, every: 100ms }}, hold: {hold} }}");
        let edge = TestEdge::start(&format!("routes:\n  /: api\nupstreams:\n  api: {upstream}\n")).await;
        eventually("it is told", || async { edge.logged(told) }).await;
        let errors: Vec<_> = edge.log().into_iter().filter(|line| line.contains(" ERROR ")).collect();
        assert_eq!(errors, [""; 0]);
    }
}

#[tokio::test]
async fn metrics_are_in_prometheus_form() {
    let api = Origin::named("api").await;
    let edge =
        TestEdge::start(&format!("routes:\n  /: api\nupstreams:\n  api: {{ servers: {} }}\n", api.server())).await;
    eventually("it is up", || async { edge.states("api").await == ["up"] }).await;
    for _ in 0..3 {
        edge.client().get("/").await;
    }
    // A request is counted when it is over, which may be after its client has the answer.
    eventually("all are counted", || async { requests(&edge.metrics().await) == 3 }).await;
    let metrics = edge.metrics().await;
    for line in ["# TYPE remora_requests_total counter", "# HELP remora_requests_total"] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

fn requests(metrics: &str) -> u64 {
    let is_ours = |line: &&str| line.starts_with("remora_requests_total{") && line.contains("2xx");
    let line = metrics.lines().find(is_ours).unwrap_or(" 0");
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_access_log_is_combined_or_json() {
    let api = Origin::named("api").await;
    let site = format!("routes:\n  /: api\nupstreams:\n  api: {{ servers: {} }}\n", api.server());
    let edge = TestEdge::start(&site).await;
    edge.client().send(http::Method::GET, "/a?b=1", &[("user-agent", "x\"y"), ("referer", "http://r/")], "").await;
    eventually("a line is written", || async { !edge.access_log().is_empty() }).await;
    let line = edge.access_log()[0].clone();
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    let line = line.replace("HTTP/2.0", "HTTP/1.1");
    assert!(line.contains(r#""GET /a?b=1 HTTP/1.1" 200 3 "http://r/" "x\x22y""#), "{line}");

    let edge = TestEdge::start_with("log: { access: json }", &site).await;
    edge.client().get("/a").await;
    eventually("a line is written", || async { !edge.access_log().is_empty() }).await;
    let entry: serde_json::Value = serde_json::from_str(&edge.access_log()[0]).unwrap();
    assert_eq!((entry["status"].as_u64(), entry["upstream"].as_str()), (Some(200), Some("api")), "{entry}");
}

#[tokio::test]
async fn the_demo_listens_where_it_is_told() {
    let demo = |listen: &str| {
        let mut demo = Command::new(env!("CARGO_BIN_EXE_remora"));
        demo.args(["demo", "--listen", listen]);
        demo
    };
    let (_demo, stdout, _) = Running::start(&mut demo("0.0.0.0:0"));
    let line_with = |part: &str| stdout.lock().unwrap().iter().find(|line| line.contains(part)).cloned();
    eventually("it says what to type", || async { line_with(" status --admin ").is_some() }).await;
    let typed = line_with(" status --admin ").unwrap();
    let typed = typed.split('#').next().unwrap().trim().to_owned();
    let status = Command::new("sh").arg("-c").arg(&typed).output().unwrap();
    assert!(status.status.success() && text(&status.stdout).contains("0.0.0.0:"), "{typed}: {}", text(&status.stderr));
    let curl = line_with("curl http://").unwrap();
    assert!(curl.contains("http://127.0.0.1:"), "{curl}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = demo(&taken.local_addr().unwrap().to_string()).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("cannot listen on"), "{}", text(&refused.stderr));
}

#[tokio::test]
async fn the_demo_runs_without_anything_else() {
    let (_demo, stdout, _) = Running::start(Command::new(env!("CARGO_BIN_EXE_remora")).arg("demo"));
    let says = |line: &String| line.split("http://").nth(1)?.split('/').next().map(str::to_owned);
    let address = || stdout.lock().unwrap().iter().find_map(says);
    eventually("it says where it listens", || async { address().is_some() }).await;
    let address = address().unwrap();
    let client = Client::new(address.parse().unwrap());
    assert!(client.get("/").await.body.contains("Remora"));
    let mut replicas: Vec<_> = Vec::new();
    for _ in 0..4 {
        replicas.push(client.get("/api/hello").await.body);
    }
    replicas.sort();
    replicas.dedup();
    assert_eq!(replicas.len(), 2, "{replicas:?}");
    let sick = client.send(http::Method::POST, "/api/sick?seconds=30", &[], "").await;
    assert_eq!(sick.status, 200);
    eventually("only the well replica answers", || async {
        let mut well = true;
        for _ in 0..4 {
            well &= client.get("/api/hello").await.body.contains("\"sick\":false");
        }
        well
    })
    .await;
}
