//! Docker behind a proxy that allows no exec, and a Docker that goes away.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use remora::config::model::{DockerSpec, Preset, Step};
use remora::docker::{Command, Docker, DockerError, DockerStatus, ExecError};

use crate::bench::{Box, LIMIT, debian, docker, eventually, perform, project, say, slim};
use crate::edge::Edge;
use crate::gunicorn::freeze;

const FORBIDDEN: &[u8] =
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 29\r\nConnection: close\r\n\r\n\
                           <html><h1>403 Forbidden</h1>\n";

/// A proxy in front of the real daemon, as docker-socket-proxy with EXEC=0: the method and the path decide.
fn proxy(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("remora-{name}-{}.sock", std::process::id()));
    let _was_not_there = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || pass(client));
        }
    });
    path
}

fn pass(mut client: UnixStream) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let text = String::from_utf8(head).ok()?;
    if text.starts_with("POST") && text.contains("/exec") {
        return client.write_all(FORBIDDEN).ok();
    }
    let mut daemon = UnixStream::connect("/var/run/docker.sock").ok()?;
    // One request on each connection, so that each is looked at.
    daemon.write_all(text.replacen("\r\n", "\r\nConnection: close\r\n", 1).as_bytes()).ok()?;
    let (mut from, mut to) = (client.try_clone().ok()?, daemon.try_clone().ok()?);
    let body = std::thread::spawn(move || {
        let _until_it_ends = std::io::copy(&mut from, &mut to);
    });
    let _until_it_ends = std::io::copy(&mut daemon, &mut client);
    let _gone = client.shutdown(Shutdown::Both);
    body.join().ok()
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn a_proxy_that_allows_no_exec_is_a_permanent_error() {
    let guarded = Docker::connect(&DockerSpec::Socket(proxy("no-exec")));
    let container = Box::run("api", &[], &debian(), &["sleep", "3600"]);
    let found = container.found(&guarded).await;
    for _ in 0..3 {
        let error = guarded.exec(&found, &Command::new(["true"]), LIMIT).await.unwrap_err();
        assert!(matches!(&error, ExecError::Docker(DockerError::Refused { status: 403, .. })), "{error:?}");
        assert!(error.is_permanent(), "{error}");
    }
    assert_eq!(guarded.status(), DockerStatus::Answers, "the daemon itself answers");
    let error = perform(&guarded, &container, &Step::Preset(Preset::GunicornReload)).await.unwrap_err();
    assert!(error.is_permanent(), "{error}");
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn what_the_proxy_forbids_is_said_once_and_given_up() {
    let (project, socket) = (project(), proxy("edge"));
    let start = "exec gunicorn -w 2 -b 0.0.0.0:80 app:wsgi";
    let run = || Box::run_in(&project, "api", &[], &crate::bench::programs(), &["sh", "-c", start]);
    let (well, sick) = (run(), run());
    let site = format!(
        "docker: {{ socket: \"{}\" }}\nroutes: {{ /: well }}\nupstreams:\n  well: {{ servers: \"{}\", check: / }}\n  sick: {{ servers: \
         \"{}\", check: {{ http: /, every: 500ms, timeout: 500ms }}, heal: {{ steps: gunicorn, cooldown: 1s }} }}\n",
        socket.display(),
        well.answers(),
        sick.answers()
    );
    let edge = Edge::start(&project, &site);
    edge.grace();
    freeze(&sick);
    assert_eq!(edge.ended("sick")["result"], "unrunnable", "{}", edge.log());
    eventually("it is given up", || edge.says(": healing stopped: ") == 1);
    assert_eq!(edge.ladder("sick").1, 1);
    assert!(edge.says("refused (403)") <= 2, "not once a probe: {}", edge.log());
}

#[tokio::test]
#[ignore = "needs Docker: make test"]
async fn a_daemon_that_is_gone_is_asked_again_when_it_is_back() {
    let path = std::env::temp_dir().join(format!("remora-gone-{}.sock", std::process::id()));
    let _was_not_there = std::fs::remove_file(&path);
    let away = Docker::connect(&DockerSpec::Socket(path.clone()));
    assert_eq!(away.ping().await, Err(DockerError::NoSocket(path.clone())));
    // A socket that nobody listens on any more, as a daemon that was killed leaves it.
    drop(UnixListener::bind(&path).unwrap());
    let left = Docker::connect(&DockerSpec::Socket(path.clone()));
    assert!(matches!(left.ping().await, Err(DockerError::Silent(_))));
    assert!(matches!(left.status(), DockerStatus::Fails(_)));
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(Path::new("/var/run/docker.sock"), &path).unwrap();
    let container = Box::run("api", &[], &slim(), &["sleep", "3600"]);
    let id = container.found(&docker()).await.id;
    let mut back = None;
    for _ in 0..400 {
        back = left.find(container.address(80), "api").await.ok();
        if back.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(back.map(|found| found.id), Some(id), "the breaker lets it try again");
    assert_eq!(say(&["inspect", "-f", "{{.State.Running}}", &container.name]), "true");
    std::fs::remove_file(&path).unwrap();
}
