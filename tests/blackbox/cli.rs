//! The command line as a user types it.

use std::process::{Command, Output};

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
    let upstreams = "upstreams: { products: products:8000, orders: orders:8000, users: users:8000 }\n";
    let shown = [
        ("README.md", whole),
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
