//! The sidecar without Docker: when it starts, whom it closes out, and that it lives on.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use crate::harness::{Lines, Running, eventually};

const SITE: &str = "routes: { /: api }\nupstreams: { api: { servers: api:80, heal: gunicorn } }\n";

/// A folder with a file for a sidecar, whose Docker is not there.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        let docker = format!("docker: {{ sidecar: {}, socket: /nonexistent/docker.sock }}\n", place.socket().display());
        fs::write(place.file(), docker + SITE).unwrap();
        place
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("remora.yaml")
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("heal.sock")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_remora"));
        command.arg("sidecar").arg(self.file()).arg("--state").arg(self.folder.path());
        command.env("COMPOSE_PROJECT_NAME", "nobody");
        command
    }

    async fn start(&self) -> (Running, Lines) {
        let (running, _, log) = Running::start(&mut self.command());
        eventually("it listens", || async { told(&log).contains("listening on") }).await;
        (running, log)
    }

    fn status(&self) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_remora"));
        command.arg("sidecar").arg(self.file()).arg("--status").output().unwrap()
    }

    fn talk(&self, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        text(&answer)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn told(log: &Lines) -> String {
    log.lock().unwrap().join("\n")
}

#[tokio::test]
async fn it_starts_where_it_is_safe_and_says_what_is_wrong_elsewhere() {
    let place = Place::new();
    let refused = |place: &Place, code: i32, said: &str| {
        let output = place.command().output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains(said), "{said}: {}", text(&output.stderr));
    };
    assert_eq!(place.status().status.code(), Some(1));
    assert!(text(&place.status().stderr).contains("there is no socket at"), "{:?}", place.status());

    let (running, _) = place.start().await;
    let status = place.status();
    assert!(
        status.status.success() && text(&status.stdout).contains("Docker: there is no Docker socket"),
        "{status:?}"
    );
    refused(&place, 1, "a sidecar is already running on");
    drop(running);
    assert!(place.socket().exists(), "a killed one leaves its socket, and the next one takes its place");
    drop(place.start().await);

    fs::set_permissions(place.folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    refused(&place, 1, "is writable by everyone");
    fs::set_permissions(place.folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(place.file(), SITE).unwrap();
    refused(&place, 2, "configures no sidecar; write `docker: { sidecar: /run/remora/heal.sock }`");
    fs::write(place.file(), "docker: { sidecar: heal.sock }\n").unwrap();
    refused(&place, 2, "is not an absolute path");
}

#[tokio::test]
async fn what_is_no_request_ends_its_connection_and_nothing_else() {
    let place = Place::new();
    let (_running, log) = place.start().await;
    for line in [
        vec![b'x'; 10_000_000],
        br#"{"v":1,"do":"exec","upstream":"api","backend":"172.18.0.3:80"}"#.to_vec(),
        br#"{"v":1,"do":"find","upstream":"../x","backend":"172.18.0.3:80"}"#.to_vec(),
        "[".repeat(250).into_bytes(),
        vec![0; 64],
        br#"{"v":9,"do":"status"}"#.to_vec(),
    ] {
        let answer = place.talk(&[&line[..], b"\n"].concat());
        assert!(answer.is_empty() || answer.contains("not_a_request"), "{answer}");
    }
    // A thousand right ones at once: a burst is answered, then the connection ends.
    let status = "{\"v\":1,\"do\":\"status\"}\n";
    let answers = place.talk(status.repeat(1000).as_bytes());
    let count = answers.matches("\"status\"").count();
    assert!((50..400).contains(&count), "{count} of 1000 were answered");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(place.status().status.success(), "it lives");
    assert!(told(&log).lines().count() < 20, "{}", told(&log));
}

#[tokio::test]
async fn term_ends_it_and_its_socket() {
    let place = Place::new();
    let mut child = place.command().stderr(std::process::Stdio::null()).spawn().unwrap();
    eventually("it listens", || async { place.status().status.success() }).await;
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert!(child.wait().unwrap().success());
    assert!(!place.socket().exists());
}

#[test]
fn the_split_stacks_file_is_right_where_its_containers_have_it() {
    let (root, etc) = (Path::new(env!("CARGO_MANIFEST_DIR")), tempfile::tempdir().unwrap());
    let copy = |from: &str, to: &str| {
        let to = etc.path().join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(root.join(from), to).unwrap();
    };
    copy("deploy/manager/split/remora.yaml", "remora/remora.yaml");
    for name in ["backend", "frontend", "database"] {
        let file = format!("upstreams/{name}/upstream.yaml");
        copy(&file, &file);
    }
    let file = etc.path().join("remora/remora.yaml");
    let checked = Command::new(env!("CARGO_BIN_EXE_remora")).arg("check").arg(&file).output().unwrap();
    assert!(checked.status.success() && text(&checked.stdout).contains("2 routes, 3 upstreams"), "{checked:?}");
    // No warning, but for what a version changes.
    let said = text(&checked.stderr);
    let is_news = |line: &str| line.starts_with("new defaults in this version") || line.starts_with("  ");
    assert!(said.lines().all(is_news), "{said}");
}
