//! `remora report`: what it holds, and what it never holds.

use std::process::Command;

use crate::harness::{Origin, TestEdge, eventually};

const SECRET: &str = "s3cret";

/// A file with every kind of secret in it. Values of variables are secrets too.
fn site(origin: &Origin) -> String {
    format!(
        "# s3cret-comment
x-own: s3cret-own
alerts: {{ webhook: \"http://127.0.0.1:1/services/s3cret-hook?token=s3cret-hook\", format: slack }}
routes:
  /: app
upstreams:
  app:
    servers: {}
    check: {{ http: \"/health?key=s3cret-query\", headers: {{ Authorization: \"Bearer s3cret-bearer\", X-A: \"${{PLANTED_PLAIN}}\" }} }}
    heal: mysqladmin --password=s3cret-heal -h ${{PLANTED_HOST}} ping
",
        origin.server()
    )
}

fn report(edge: &TestEdge, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_remora"));
    command.arg("report").args(arguments).args(["--admin", &edge.admin.to_string()]);
    let done =
        command.env("PLANTED_PLAIN", "entirely plain words").env("PLANTED_HOST", "s3cret-host").output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

#[tokio::test]
async fn a_report_holds_what_helps_and_no_secret() {
    let origin = Origin::named("a").await;
    let shell = "export PLANTED_PLAIN='entirely plain words' PLANTED_HOST=s3cret-host; exec";
    let mut edge = TestEdge::start_through(shell, "", &site(&origin)).await;
    // Refused, so that the edge has lines of the file in its log and in its status.
    let wrong = "  b: \"http://root:s3cret-user@b:8000\"\n  c: { servers: \"c:80\", basic_auth: \"$2y$05$s3crethash0123456789\" }\n";
    edge.edit(&format!("{}{wrong}", site(&origin)));
    eventually("it is refused", || async { edge.logged("is a URL, not") }).await;
    assert!(!edge.log().join("\n").contains("s3cret-user"), "nor does the log show a password: {:#?}", edge.log());

    let text = report(&edge, &[]);
    assert!(!text.contains(SECRET) && !text.contains("entirely plain"), "{text}");
    let file = edge.file().display().to_string();
    for part in [
        "- edge: remora 0.1.0, generation 1",
        "- kernel: Linux ",
        "- Docker: ",
        "## Status\n",
        "app: backends are up",
        "refused, requested by file",
        &format!("## Configuration: {file}\n"),
        "webhook: http://127.0.0.1:1/***",
        "/: app",
        "X-A: '***'",
        "2 problems.",
        "http://***@b:8000",
        "\"generation\": 1",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }

    // While no edge runs, and into a file.
    edge.signal("INT");
    edge.ended().await;
    let output = edge.folder.path().join("report.md");
    report(&edge, &[&file, "--output", output.to_str().unwrap()]);
    let text = std::fs::read_to_string(&output).unwrap();
    assert!(!text.contains(SECRET) && !text.contains("entirely plain"), "{text}");
    assert!(text.contains("no status: no edge is running at") && text.contains("/: app"), "{text}");
}
