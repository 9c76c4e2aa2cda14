//! The listener over real sockets: every path, every refusal, and clients that do not behave.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::admin::AdminCommand;
use crate::admin::Status;
use crate::admin::status::tests::sample;
use crate::reload::{Reloaded, RolledBack, ShownEntry};
use crate::types::OwnedTask;

#[derive(Default)]
struct Sample {
    broken: AtomicBool,
}

#[async_trait]
impl AdminSource for Sample {
    fn status(&self) -> Status {
        sample()
    }

    fn metrics(&self) -> String {
        "remora_config_generation 8\n".to_owned()
    }

    fn events(&self) -> Vec<String> {
        vec!["a line".to_owned()]
    }

    fn heals(&self) -> Value {
        sample().heals
    }

    async fn reload(&self) -> Result<Reloaded, String> {
        if self.broken.load(Ordering::SeqCst) {
            return Err("error: no upstream is named `apii`\n  --> remora.yaml:41:11".to_owned());
        }
        Ok(Reloaded {
            generation: 9,
            summary: "nothing changed".to_owned(),
            took: Duration::from_millis(3),
            notes: Vec::new(),
            new_defaults: Vec::new(),
        })
    }

    fn history(&self) -> Vec<ShownEntry> {
        Vec::new()
    }

    async fn roll_back(&self, to: Option<u64>) -> Result<RolledBack, String> {
        let reloaded = self.reload().await?;
        let (written, set_aside) = (vec!["/a.yaml".into()], vec![("/b.yaml".into(), "/.b".into())]);
        Ok(RolledBack { reloaded, to: to.unwrap_or(3), written, set_aside, replaced: Some(4), not_written: None })
    }

    async fn command(&self, command: AdminCommand) -> Result<Value, String> {
        if self.broken.load(Ordering::SeqCst) {
            return Err("there is no upstream `apii`".to_owned());
        }
        Ok(serde_json::json!({ "errand": format!("{command:?}") }))
    }
}

struct Rig {
    address: SocketAddr,
    source: Arc<Sample>,
    _task: OwnedTask,
}

fn start() -> Rig {
    start_with(Access::Full)
}

fn start_with(access: Access) -> Rig {
    let listener = bind("127.0.0.1:0".parse().unwrap(), access).unwrap();
    let address = listener.address().unwrap();
    let source = Arc::new(Sample::default());
    let shared: Arc<dyn AdminSource> = source.clone();
    Rig { address, source, _task: OwnedTask::spawn(serve(listener, shared)) }
}

impl Rig {
    /// Sends bytes and reads until the edge closes.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        // A reset after an early answer is fine; what came before it counts.
        let _ = timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.expect("an answer");
        String::from_utf8(answer).unwrap()
    }

    /// The status, the head and the body of an answer.
    async fn ask(&self, method: &str, path: &str) -> (u16, String, String) {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        let answer = self.raw(request.as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_ascii_lowercase(), body.to_owned())
    }
}

#[tokio::test]
async fn every_path_answers() {
    let rig = start();
    let (status, head, body) = rig.ask("GET", "/status").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/json") && head.contains("cache-control: no-store"), "{head}");
    assert_eq!(serde_json::from_str::<Status>(&body).unwrap(), sample());

    let (status, head, body) = rig.ask("GET", "/metrics").await;
    assert_eq!((status, body.as_str()), (200, "remora_config_generation 8\n"));
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");

    assert!(rig.ask("GET", "/heals").await.2.contains("gunicorn reload"));
    assert_eq!(rig.ask("GET", "/healthz").await.0, 200);
    let (status, _, body) = rig.ask("HEAD", "/healthz").await;
    assert_eq!((status, body.as_str()), (200, ""));

    let (status, _, body) = rig.ask("POST", "/reload").await;
    assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()["generation"].as_u64()), (200, Some(9)));
    assert_eq!(rig.ask("GET", "/history").await.2, "[]\n");
    let (status, _, body) = rig.ask("POST", "/rollback").await;
    let expected = serde_json::json!({
        "generation": 9, "summary": "nothing changed", "took_ms": 3, "to": 3, "written": ["/a.yaml"],
        "set_aside": [["/b.yaml", "/.b"]], "replaced": 4, "not_written": null,
    });
    assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()), (200, expected));
    assert!(rig.ask("POST", "/rollback?to=7").await.2.contains("\"to\": 7"));
    assert_eq!(rig.ask("POST", "/rollback?to=x").await.0, 400);
    rig.source.broken.store(true, Ordering::SeqCst);
    assert_eq!(rig.ask("POST", "/rollback?to=7").await.0, 422);
    let (status, _, body) = rig.ask("POST", "/reload").await;
    assert_eq!(status, 422);
    let report = serde_json::from_str::<Value>(&body).unwrap()["error"].as_str().unwrap().to_owned();
    assert!(report.contains("remora.yaml:41:11"), "{report}");
}

#[tokio::test]
async fn commands_for_the_healer_are_passed_on() {
    let rig = start();
    #[rustfmt::skip]
    let rows = [
        ("/heal?upstream=api",                       200, "Heal { upstream: \"api\", backend: None }"),
        ("/heal?upstream=api&backend=10.0.0.1:80",   200, "Some(10.0.0.1:80)"),
        ("/reload?upstream=api",                     200, "Reload { upstream: \"api\" }"),
        ("/drill?upstream=api",                      200, "Drill { upstream: \"api\" }"),
        ("/pause?for=10m",                           200, "Pause { upstream: None, span: Some(600s) }"),
        ("/resume?upstream=api",                     200, "span: None"),
        ("/heal",                                    400, "the upstream is missing"),
        ("/drill?upstream=api&for=1m",               400, "unknown parameter `for`"),
        ("/pause?upstream=api",                      400, "the duration is missing"),
        ("/reload?file=x",                           400, "unknown parameter `file`"),
    ];
    for (path, expected, words) in rows {
        let (status, _, body) = rig.ask("POST", path).await;
        let text = serde_json::from_str::<Value>(&body).unwrap();
        let text = text["errand"].as_str().or(text["error"].as_str()).unwrap().to_owned();
        assert_eq!(status, expected, "{path}: {text}");
        assert!(text.contains(words), "{path}: {text}");
    }
    rig.source.broken.store(true, Ordering::SeqCst);
    assert_eq!(rig.ask("POST", "/heal?upstream=apii").await.0, 409);
    assert_eq!(rig.ask("GET", "/heal?upstream=api").await.0, 405);
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed_is_said_in_json() {
    let rig = start();
    for (method, path, expected) in [
        ("GET", "/", 404),
        ("GET", "/status/", 404),
        ("GET", "/reload", 405),
        ("POST", "/status", 405),
        ("DELETE", "/heals", 405),
    ] {
        let (status, head, body) = rig.ask(method, path).await;
        assert_eq!(status, expected, "{method} {path}");
        assert_eq!(head.contains("allow: "), expected == 405, "{head}");
        assert!(serde_json::from_str::<Value>(&body).unwrap()["error"].is_string(), "{body}");
    }
}

#[tokio::test]
async fn a_page_that_rebinds_its_name_is_refused() {
    let rig = start();
    for request in [
        "GET /status HTTP/1.1\r\nHost: evil.example:9901\r\n\r\n".to_owned(),
        "GET /status HTTP/1.0\r\n\r\n".to_owned(),
        format!("POST /reload HTTP/1.1\r\nHost: {}\r\nOrigin: https://evil.example\r\n\r\n", rig.address),
    ] {
        let answer = rig.raw(request.as_bytes()).await;
        assert!(answer.contains(" 403 "), "{request}: {answer}");
    }
}

#[tokio::test]
async fn others_may_read_and_change_nothing() {
    let rig = start_with(Access::ReadOnly);
    for (request, expected) in [
        ("GET /metrics HTTP/1.1\r\nHost: remora:9902\r\n\r\n", " 200 "),
        ("GET /status HTTP/1.1\r\nHost: remora:9902\r\n\r\n", " 200 "),
        ("GET /metrics HTTP/1.0\r\n\r\n", " 200 "),
        ("POST /status HTTP/1.1\r\nHost: remora:9902\r\n\r\n", " 405 "),
        ("GET /events HTTP/1.1\r\nHost: remora:9902\r\n\r\n", " 404 "),
        ("GET /heals HTTP/1.1\r\nHost: remora:9902\r\n\r\n", " 404 "),
        ("GET /history HTTP/1.1\r\nHost: remora:9902\r\n\r\n", " 404 "),
        ("POST /reload HTTP/1.1\r\nHost: remora:9902\r\n\r\n", " 404 "),
        ("POST /rollback HTTP/1.1\r\nHost: remora:9902\r\n\r\n", " 404 "),
        ("POST /heal?upstream=api HTTP/1.1\r\nHost: 127.0.0.1:9902\r\n\r\n", " 404 "),
        ("POST /drill?upstream=api HTTP/1.1\r\nHost: remora:9902\r\n\r\n", " 404 "),
        ("POST /pause?for=10m HTTP/1.1\r\nHost: remora:9902\r\n\r\n", " 404 "),
        ("POST /resume HTTP/1.1\r\nHost: remora:9902\r\n\r\n", " 404 "),
    ] {
        let answer = rig.raw(request.as_bytes()).await;
        assert!(answer.lines().next().unwrap().contains(expected), "{request}: {answer}");
    }
}

#[tokio::test]
async fn a_body_or_a_long_head_is_not_read() {
    let rig = start();
    let request = format!("POST /reload HTTP/1.1\r\nHost: {}\r\nContent-Length: 99999999\r\n\r\nxxx", rig.address);
    assert!(rig.raw(request.as_bytes()).await.starts_with("HTTP/1.1 200 "));
    let request = format!("GET /status HTTP/1.1\r\nHost: {}\r\nX-Long: {}\r\n\r\n", rig.address, "x".repeat(64 * 1024));
    let answer = rig.raw(request.as_bytes()).await;
    assert!(answer.is_empty() || answer.contains(" 431 "), "{answer}");
}

#[tokio::test]
async fn silent_clients_neither_stay_nor_keep_others_out() {
    let rig = start();
    let mut silent = Vec::new();
    for _ in 0..2 * CONNECTIONS_MOST {
        silent.push(TcpStream::connect(rig.address).await.unwrap());
    }
    let started = Instant::now();
    while rig.raw(format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", rig.address).as_bytes()).await.is_empty() {
        assert!(started.elapsed() < HEAD_WITHIN * 3, "silent clients hold every connection");
        sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn an_address_that_is_taken_is_an_error_that_names_it() {
    let taken = bind("127.0.0.1:0".parse().unwrap(), Access::Full).unwrap().0;
    let address = taken.local_addr().unwrap();
    let message = bind(address, Access::Full).unwrap_err().to_string();
    assert!(message.contains(&address.to_string()) && message.contains("`admin:`"), "{message}");
}
