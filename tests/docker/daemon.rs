//! Daemons that are absent, closed, silent, or talk nonsense. Only the one about permissions needs a real one.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command as Process;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use remora::config::model::DockerSpec;
use remora::docker::{Docker, DockerError, DockerStatus, FindError};

/// A socket whose every connection is answered with `answer` and closed, or left silent.
fn fake(name: &str, answer: Option<Vec<u8>>) -> PathBuf {
    let path = std::env::temp_dir().join(format!("remora-{name}-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let Some(answer) = &answer else {
                silent.push(stream);
                continue;
            };
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer);
        }
    });
    path
}

fn http(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into()
}

#[tokio::test]
async fn nonsense_is_an_error_and_opens_the_breaker() {
    let deep = "[".repeat(100_000);
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("garbage", b"\x00\xffnot http\r\n\r\n".to_vec()),
        ("html", http("<html>")),
        ("null", http("null")),
        ("wrong-type", http("{\"ApiVersion\":[1]}")),
        ("odd-version", http("{\"ApiVersion\":\"x.y\"}")),
        ("deep", http(&deep)),
        ("cut", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_vec()),
        ("lists-nothing-like-it", http("{\"ApiVersion\":\"1.41\"}")),
    ];
    for (name, answer) in rows {
        let docker = Docker::connect(&DockerSpec::Socket(fake(name, Some(answer))));
        let started = Instant::now();
        let error = docker.find("10.0.0.1:80".parse().unwrap(), "api").await.unwrap_err();
        assert!(
            matches!(error, FindError::Docker(DockerError::Malformed(_) | DockerError::Silent(_))),
            "{name}: {error:?}"
        );
        assert!(matches!(docker.status(), DockerStatus::Fails(_)), "{name}");
        assert!(started.elapsed() < Duration::from_secs(5), "{name}");
    }
}

/// An engine that speaks versions 1.`oldest` to 1.`newest` of the API and refuses others in Docker's words; the paths that
/// it is asked for come out of the channel.
fn engine(oldest: u32, newest: u32) -> (PathBuf, Receiver<String>) {
    let path = std::env::temp_dir().join(format!("remora-engine-{oldest}-{newest}-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let (told, asked) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let length = stream.read(&mut head).unwrap();
            let path = String::from_utf8_lossy(&head[..length]).split(' ').nth(1).unwrap().to_owned();
            let refused = |why: &str| (400, format!("{{\"message\":\"client version is too {why}\"}}"));
            let (status, body) = match minor(&path) {
                Some(version) if newest < version => refused("new"),
                Some(version) if version < oldest => refused("old"),
                None if path == "/version" => {
                    (200, format!("{{\"ApiVersion\":\"1.{newest}\",\"MinAPIVersion\":\"1.{oldest}\"}}"))
                }
                _ => (200, "OK".to_owned()),
            };
            let head = format!("HTTP/1.1 {status} Told\r\nContent-Type: application/json\r\nConnection: close\r\n");
            let _ = told.send(path);
            write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        }
    });
    (path, asked)
}

/// 41 of `/v1.41/info`.
fn minor(path: &str) -> Option<u32> {
    path.strip_prefix("/v1.")?.split('/').next()?.parse().ok()
}

#[tokio::test]
async fn the_newest_version_that_both_know_is_spoken() {
    // Docker 20.10, 24, 26.1, 28; one whose newest is newer than ours; and one that has given ours up.
    let ours = u32::try_from(bollard::API_DEFAULT_VERSION.minor_version).unwrap();
    let engines = [(12, 41, 41), (12, 43, 43), (24, 45, 45), (24, 51, 51), (44, 99, ours), (98, 99, 98)];
    for (oldest, newest, spoken) in engines {
        let (socket, asked) = engine(oldest, newest);
        let docker = Docker::connect(&DockerSpec::Socket(socket));
        assert_eq!(docker.ping().await, Ok(()), "1.{oldest} to 1.{newest}");
        assert_eq!(docker.ping().await, Ok(()), "1.{oldest} to 1.{newest}");
        let asked: Vec<String> = asked.try_iter().collect();
        let ping = format!("/v1.{spoken}/_ping");
        assert_eq!(asked, ["/version", &ping, &ping], "1.{oldest} to 1.{newest}");
    }
}

#[tokio::test]
async fn a_silent_daemon_costs_one_deadline() {
    let docker = Docker::connect(&DockerSpec::Socket(fake("silent", None)));
    let started = Instant::now();
    assert!(matches!(docker.ping().await, Err(DockerError::Silent(_))));
    assert!(started.elapsed() < Duration::from_secs(5));
    let again = Instant::now();
    assert!(matches!(docker.ping().await, Err(DockerError::Silent(_))));
    assert!(again.elapsed() < Duration::from_millis(50), "the breaker is open");
}

#[tokio::test]
async fn a_proxy_that_forbids_is_believed() {
    let forbidden = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nForbidden".to_vec();
    let docker = Docker::connect(&DockerSpec::Socket(fake("forbidden", Some(forbidden))));
    assert!(matches!(docker.ping().await, Err(DockerError::Refused { status: 403, .. })));
}

/// Runs this very test program as nobody, where [`as_nobody`] knocks.
#[test]
#[ignore = "needs Docker: make test"]
fn a_socket_that_is_closed_to_us_is_said_so() {
    let exe = std::env::temp_dir().join(format!("remora-nobody-{}", std::process::id()));
    std::fs::copy(std::env::current_exe().unwrap(), &exe).unwrap();
    let output = Process::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(&exe)
        .args(["--ignored", "--exact", "daemon::as_nobody", "--nocapture"])
        .env("AS_NOBODY", "1")
        .current_dir("/")
        .output()
        .unwrap();
    let _ = std::fs::remove_file(exe);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
#[ignore = "run by a_socket_that_is_closed_to_us_is_said_so"]
async fn as_nobody() {
    if std::env::var("AS_NOBODY").is_err() {
        return;
    }
    let docker = Docker::connect(&DockerSpec::Auto);
    let error = docker.ping().await.unwrap_err();
    assert_eq!(error, DockerError::Denied("/var/run/docker.sock".into()));
    assert!(error.to_string().contains("group that owns the socket"));
}
