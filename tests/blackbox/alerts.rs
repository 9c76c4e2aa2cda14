//! Alerts: each condition is posted once to a webhook that is really there, and is told to be over where it is.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use chrono::{Datelike, TimeDelta, Utc};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::Value;

use crate::harness::{Certificate, Origin, TestEdge, eventually, free_port, put};

/// A receiver that keeps what it gets.
struct Receiver {
    address: SocketAddr,
    posts: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, posts) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<Value>>>::default());
        let kept = Arc::clone(&posts);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let (mut text, mut buffer) = (String::new(), [0; 4096]);
                let body = loop {
                    let Some((head, body)) = text.split_once("\r\n\r\n") else {
                        let count = stream.read(&mut buffer).unwrap();
                        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
                        continue;
                    };
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                    if length.unwrap().parse::<usize>().unwrap() <= body.len() {
                        break serde_json::from_str(body).unwrap();
                    }
                    let count = stream.read(&mut buffer).unwrap();
                    text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
                };
                kept.lock().unwrap().push(body);
                stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").unwrap();
            }
        });
        Self { address, posts }
    }

    fn yaml(&self, format: &str) -> String {
        format!("alerts: {{ webhook: \"http://{}/hook/s3cret\", format: {format} }}\n", self.address)
    }

    fn of(&self, event: &str) -> Vec<Value> {
        self.posts.lock().unwrap().iter().filter(|post| post["event"] == event).cloned().collect()
    }

    async fn gets(&self, event: &str, count: usize) {
        eventually(&format!("{count} of {event}"), || async { count <= self.of(event).len() }).await;
    }
}

fn expiring(folder: &std::path::Path, days: i64) -> Certificate {
    let (certificate, key) = (Certificate::in_folder(folder, "a"), KeyPair::generate().unwrap());
    let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    let until = Utc::now() + TimeDelta::days(days);
    let (month, day) = (u8::try_from(until.month()).unwrap(), u8::try_from(until.day()).unwrap());
    params.not_after = date_time_ymd(until.year(), month, day);
    put(&certificate.pem, &params.self_signed(&key).unwrap().pem());
    put(&certificate.key, &key.serialize_pem());
    certificate
}

#[tokio::test]
async fn each_condition_is_posted_once_with_the_command_that_helps() {
    let (receiver, folder) = (Receiver::start(), tempfile::tempdir().unwrap());
    let (one, two, other) = (Origin::named("1").await, Origin::named("2").await, Origin::named("3").await);
    let secured = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let tls = expiring(folder.path(), 9).yaml();
    let listen = |plain| format!("[\"{plain}\", {{ address: \"{secured}\", tls: {tls} }}]");
    let site = |to: &str| {
        format!(
            "{}routes: {{ /: {to} }}\nupstreams:\n  api: {{ servers: [{}, {}], check: {{ tcp: true, every: 200ms, \
             fall: 1, rise: 1 }} }}\n  web: {{ servers: {} }}\n",
            receiver.yaml("json"),
            one.server(),
            two.server(),
            other.server()
        )
    };
    let edge = TestEdge::start_listening(listen, "", &site("api")).await;

    receiver.gets("certificate_expires", 1).await;
    let certificate = &receiver.of("certificate_expires")[0];
    assert!(certificate["days"] == 8 && certificate["names"] == "a.example", "{certificate}");
    assert!(certificate["command"].as_str().unwrap().starts_with("openssl x509 "), "{certificate}");
    let metrics = edge.metrics().await;
    let days = metrics.lines().find(|line| line.starts_with("remora_certificate_expires_days{")).unwrap();
    let days: f64 = days.rsplit(' ').next().unwrap().parse().unwrap();
    assert!((8.0..=9.0).contains(&days), "{days}");

    // Two mistakes in a row are one refusal; and it is over as soon as the file is right.
    edge.edit(&site("nowhere"));
    receiver.gets("reload_refused", 1).await;
    edge.edit(&site("elsewhere"));
    eventually("the second mistake is found", || async { edge.logged("is named `elsewhere`") }).await;
    let refused = &receiver.of("reload_refused")[0];
    assert!(refused["command"].as_str().unwrap().starts_with("remora check /"), "{refused}");
    assert!(refused["text"].as_str().unwrap().contains("1 problem, at "), "{refused}");
    assert!(!refused.to_string().contains("s3cret"), "{refused}");
    edge.edit(&site("web"));
    receiver.gets("over", 1).await;
    assert_eq!(receiver.of("over")[0]["of"], "reload_refused");

    one.kill();
    eventually("one is down", || async { edge.states("api").await.contains(&"down".to_owned()) }).await;
    two.kill();
    receiver.gets("upstream_down", 1).await;
    let down = &receiver.of("upstream_down")[0];
    assert!(down["upstream"] == "api" && down["backends"] == 2 && down["command"] == "remora status", "{down}");
    assert!(edge.told("all 2 backends of `api` are down"), "an alert is a line in the log");

    for event in ["certificate_expires", "reload_refused", "over", "upstream_down"] {
        assert_eq!(receiver.of(event).len(), 1, "{event}: {:#?}", receiver.of(event));
    }
    assert_eq!(receiver.posts.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn a_full_log_is_posted_in_the_shape_that_the_receiver_takes() {
    let (receiver, origin) = (Receiver::start(), Origin::named("a").await);
    let site = format!("routes: {{ /: app }}\nupstreams: {{ app: {{ servers: {} }} }}\n", origin.server());
    let edge = TestEdge::start_through("exec >/dev/full; exec", &receiver.yaml("slack"), &site).await;
    assert_eq!(edge.client().get("/").await.status, 200);
    eventually("a post", || async { !receiver.posts.lock().unwrap().is_empty() }).await;
    for _ in 0..20 {
        assert_eq!(edge.client().get("/").await.status, 200);
    }
    let posts = receiver.posts.lock().unwrap().clone();
    assert_eq!(posts.len(), 1, "{posts:#?}");
    let text = posts[0]["text"].as_str().unwrap();
    assert!(text.contains("the access log loses lines: No space left on device") && text.contains("`df -h`"), "{text}");
    assert_eq!(posts[0].as_object().unwrap().len(), 3, "{:#?}", posts[0]);
}

#[tokio::test]
async fn a_journal_that_cannot_be_written_is_warned_of_by_check_and_keeps_no_edge_from_serving() {
    let (receiver, origin) = (Receiver::start(), Origin::named("a").await);
    let site = format!("routes: {{ /: app }}\nupstreams: {{ app: {{ servers: {} }} }}\n", origin.server());
    let process = format!("{}journal: /nonexistent/heals.jsonl\n", receiver.yaml("json"));
    let edge = TestEdge::start_with(&process, &site).await;
    assert_eq!(edge.client().get("/").await.status, 200);
    receiver.gets("cannot_write", 1).await;
    assert_eq!(receiver.of("cannot_write")[0]["what"], "heal journal /nonexistent/heals.jsonl");
    let checked =
        std::process::Command::new(env!("CARGO_BIN_EXE_remora")).arg("check").arg(edge.file()).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(
        checked.status.success() && said.contains("cannot write the heal journal /nonexistent/heals.jsonl"),
        "{said}"
    );
}
