//! TLS: what clients get, certificates that change, and clients that do not finish.

use std::io;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::KeyPair;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::harness::{Certificate, Origin, PATIENCE, TestEdge, eventually, free_port, put, trusting, trusting_with};

const HOST: &str = "a.example";

/// An edge in front of one origin that listens in plain and with TLS.
struct Secured {
    edge: TestEdge,
    origin: Origin,
    address: SocketAddr,
    certificate: Certificate,
    der: CertificateDer<'static>,
    _folder: tempfile::TempDir,
}

impl Secured {
    async fn start(process: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificate = Certificate::in_folder(folder.path(), "a");
        let der = certificate.renew(HOST);
        let origin = Origin::named("api").await;
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let tls = certificate.yaml();
        let listen = |plain| format!("[\"{plain}\", {{ address: \"{address}\", tls: {tls} }}]");
        let edge = TestEdge::start_listening(listen, process, &site(&origin)).await;
        Self { edge, origin, address, certificate, der, _folder: folder }
    }

    fn client(&self, alpn: &'static str) -> Https {
        Https::new(self.address, alpn)
    }
}

fn site(origin: &Origin) -> String {
    format!("routes:\n  /: a\nupstreams:\n  a: {{ servers: {}, check: off }}\n", origin.server())
}

/// A client of one protocol. Each request has a connection of its own.
#[derive(Clone)]
struct Https {
    address: SocketAddr,
    alpn: &'static str,
    config: Arc<ClientConfig>,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    version: Version,
    body: Bytes,
    certificate: CertificateDer<'static>,
}

impl Https {
    fn new(address: SocketAddr, alpn: &'static str) -> Self {
        let mut config = trusting();
        // A session that is resumed shows no certificate but the one it began with.
        config.resumption = Resumption::disabled();
        config.alpn_protocols = if alpn.is_empty() { Vec::new() } else { vec![alpn.into()] };
        Self { address, alpn, config: Arc::new(config) }
    }

    async fn connect(&self, host: &str) -> io::Result<TlsStream<TcpStream>> {
        let host = ServerName::try_from(host.to_owned()).unwrap();
        let stream = TcpStream::connect(self.address).await?;
        TlsConnector::from(Arc::clone(&self.config)).connect(host, stream).await
    }

    async fn get(&self, host: &str) -> Answer {
        self.send(Method::GET, host, Bytes::new()).await.unwrap()
    }

    async fn send(&self, method: Method, host: &str, body: Bytes) -> Result<Answer, Box<dyn std::error::Error>> {
        let sent = self.send_unbounded(method, host, body);
        tokio::time::timeout(PATIENCE, sent).await?
    }

    async fn send_unbounded(
        &self,
        method: Method,
        host: &str,
        body: Bytes,
    ) -> Result<Answer, Box<dyn std::error::Error>> {
        let stream = self.connect(host).await?;
        let tls = stream.get_ref().1;
        assert_eq!(tls.alpn_protocol().unwrap_or_default(), self.alpn.as_bytes());
        let certificate = tls.peer_certificates().unwrap()[0].clone().into_owned();
        let request = Request::builder().method(method);
        let answer = if self.alpn == "h2" {
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            sender.send_request(request.uri(format!("https://{host}/x")).body(Full::new(body))?).await?
        } else {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            sender.send_request(request.uri("/x").header("host", host).body(Full::new(body))?).await?
        };
        let (head, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer { status: head.status.as_u16(), version: head.version, body, certificate })
    }
}

/// Sends a request in text and reads the answer's first bytes.
async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(format!("GET /kept HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = [0; 4096];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

#[tokio::test]
async fn a_client_gets_the_protocol_it_asks_for_and_the_backend_knows_of_tls() {
    let Secured { edge, origin, address, der, .. } = Secured::start("").await;
    for (alpn, version) in [("http/1.1", Version::HTTP_11), ("h2", Version::HTTP_2), ("", Version::HTTP_11)] {
        let answer = Https::new(address, alpn).get(HOST).await;
        assert_eq!((answer.status, answer.version, answer.certificate), (200, version, der.clone()), "{alpn}");
        assert_eq!(answer.body, "api");
        let seen = origin.seen().pop().unwrap();
        assert_eq!(
            (seen.headers["x-forwarded-proto"].as_bytes(), seen.target.as_str()),
            (&b"https"[..], "/x"),
            "{alpn}"
        );
        assert_eq!(seen.headers["x-forwarded-host"], HOST, "{alpn}");
    }
    edge.client().get("/").await;
    assert_eq!(origin.seen().pop().unwrap().headers["x-forwarded-proto"], "http");
}

#[tokio::test]
async fn a_large_body_goes_through_whole() {
    let secured = Secured::start("").await;
    let body: Bytes = (0..3_000_000_u32).map(|index| index.to_le_bytes()[index as usize % 3]).collect();
    for alpn in ["http/1.1", "h2"] {
        let answer = secured.client(alpn).send(Method::POST, HOST, body.clone()).await.unwrap();
        assert_eq!(answer.status, 200, "{alpn}");
        assert!(secured.origin.seen().pop().unwrap().body == body, "{alpn}");
    }
}

#[tokio::test]
async fn a_host_chooses_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) =
        (Certificate::in_folder(folder.path(), "first"), Certificate::in_folder(folder.path(), "second"));
    let (usual, other) = (first.renew("a.example"), second.renew("*.b.example"));
    let origin = Origin::named("api").await;
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let listen =
        |plain| format!("[\"{plain}\", {{ address: \"{address}\", tls: [{}, {}] }}]", first.yaml(), second.yaml());
    let _edge = TestEdge::start_listening(listen, "", &site(&origin)).await;
    let client = Https::new(address, "h2");
    for (host, expected) in [("a.example", &usual), ("x.b.example", &other), ("unknown.example", &usual)] {
        assert_eq!(client.get(host).await.certificate, *expected, "{host}");
    }
}

#[tokio::test]
async fn the_end_of_a_connection_is_told_so_that_nothing_can_be_cut_off_unseen() {
    let secured = Secured::start("").await;
    for (request, status) in [
        (format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"), "HTTP/1.1 200"),
        ("nonsense\r\n\r\n".to_owned(), "HTTP/1.1 400"),
    ] {
        let mut stream = secured.client("http/1.1").connect(HOST).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        // An end without TLS's own word is an error here (RFC 8446, section 6.1).
        tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with(status), "{answer}");
    }
}

#[tokio::test]
async fn plain_http_on_the_tls_port_is_refused_at_once() {
    let secured = Secured::start("").await;
    let start = Instant::now();
    let mut stream = TcpStream::connect(secured.address).await.unwrap();
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A reset is an end too.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let text = String::from_utf8_lossy(&answer);
    let alert = answer.first() == Some(&21);
    assert!(answer.is_empty() || alert || text.starts_with("HTTP/1.1 400 "), "{text}");
    assert_eq!(secured.origin.count(), 0);
    assert_eq!(secured.client("h2").get(HOST).await.status, 200);
}

#[tokio::test]
async fn the_server_chooses_the_cipher_and_not_the_order_of_the_client() {
    let secured = Secured::start("").await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut chosen = Vec::new();
        for is_reversed in [false, true] {
            let mut provider = rustls::crypto::ring::default_provider();
            if is_reversed {
                provider.cipher_suites.reverse();
            }
            let config = trusting_with(provider, &[version]);
            let stream = TcpStream::connect(secured.address).await.unwrap();
            let host = ServerName::try_from(HOST).unwrap();
            let tls = TlsConnector::from(Arc::new(config)).connect(host, stream).await.unwrap();
            chosen.push(tls.get_ref().1.negotiated_cipher_suite().unwrap().suite());
        }
        assert_eq!(chosen[0], chosen[1], "{version:?}");
    }
}

#[tokio::test]
async fn odd_hellos_of_strangers_do_not_fill_the_log() {
    let secured = Secured::start("").await;
    let before = secured.edge.log().len();
    // A name that is an address is one that TLS does not know (RFC 6066, section 3), and rustls says so.
    let mut named = hello();
    let at = named.windows(HOST.len()).position(|bytes| bytes == HOST.as_bytes()).unwrap();
    named[at..at + HOST.len()].copy_from_slice(b"127.0.0.1");
    for _ in 0..50 {
        for bytes in [&named[..], b"\x16\x03\x01\0\x04\x14\0\0\0", b"\0", b"GET / HTTP/1.1\r\n\r\n"] {
            let mut stream = TcpStream::connect(secured.address).await.unwrap();
            let _ = stream.write_all(bytes).await;
        }
    }
    eventually("all are counted", || async { secured.edge.metrics().await.contains("\"tls_handshake\"} 200") }).await;
    assert_eq!(secured.client("h2").get(HOST).await.status, 200);
    let lines = secured.edge.log()[before..].to_vec();
    assert!(lines.len() <= 5, "{lines:#?}");
}

/// What a client says first.
fn hello() -> Vec<u8> {
    let config = Arc::clone(&Https::new(SocketAddr::from(([127, 0, 0, 1], 9)), "h2").config);
    let mut client = rustls::ClientConnection::new(config, ServerName::try_from(HOST).unwrap()).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    assert!(100 < bytes.len());
    bytes
}

/// How long the edge leaves a client open that sends these bytes, each after a pause, and then nothing.
async fn kept(address: SocketAddr, bytes: &[u8], pause: Duration) -> Duration {
    let start = Instant::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut reader, mut writer) = stream.split();
    let write = async {
        for byte in bytes {
            writer.write_all(&[*byte]).await?;
            tokio::time::sleep(pause).await;
        }
        std::future::pending::<io::Result<()>>().await
    };
    let read = async {
        let mut rest = Vec::new();
        let _ = reader.read_to_end(&mut rest).await;
    };
    let either = async {
        tokio::select! { _ = write => {}, () = read => {} }
    };
    tokio::time::timeout(PATIENCE, either).await.unwrap();
    start.elapsed()
}

#[tokio::test]
async fn a_handshake_that_is_never_finished_is_closed_in_time() {
    let secured = Secured::start("limits: { header_timeout: 500ms, keepalive: 500ms }").await;
    let (hello, client) = (hello(), secured.client("h2"));
    let none = Duration::ZERO;
    let (silent, begun, half, slow, served) = tokio::join!(
        kept(secured.address, &[], none),
        kept(secured.address, &hello[..1], none),
        kept(secured.address, &hello[..hello.len() / 2], none),
        kept(secured.address, &hello, Duration::from_millis(50)),
        client.get(HOST),
    );
    assert_eq!(served.status, 200, "others are served meanwhile");
    for (what, kept) in [("silent", silent), ("begun", begun), ("half", half), ("slow", slow)] {
        assert!(kept < Duration::from_secs(4), "{what}: {kept:?}");
        assert!(Duration::from_millis(400) < kept, "{what}: {kept:?}");
    }
    assert_eq!(secured.origin.count(), 1);
}

#[tokio::test]
async fn certificates_are_renewed_under_traffic_and_bad_ones_are_not_taken() {
    let Secured { edge, origin: _origin, address, certificate, der, _folder } = Secured::start("").await;
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load: Vec<_> = ["http/1.1", "h2"]
        .into_iter()
        .map(|alpn| {
            let (client, stop, sent) = (Https::new(address, alpn), Arc::clone(&stop), Arc::clone(&sent));
            tokio::spawn(async move {
                let mut failed = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    match client.send(Method::GET, HOST, Bytes::new()).await {
                        Ok(answer) if answer.status == 200 => {}
                        other => failed.push(format!("{other:?}")),
                    }
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                failed
            })
        })
        .collect();
    let client = Https::new(address, "http/1.1");
    let mut before = client.connect(HOST).await.unwrap();
    assert!(ask(&mut before).await.starts_with("HTTP/1.1 200"));

    let mut last = der;
    for round in 0..3 {
        let new = certificate.renew(HOST);
        assert_ne!(new, last);
        edge.signal("HUP");
        eventually("the new certificate is shown", || async { client.get(HOST).await.certificate == new }).await;
        assert!(ask(&mut before).await.starts_with("HTTP/1.1 200"), "an old connection goes on, round {round}");
        last = new;
    }
    eventually("it is logged", || async { edge.logged("certificate renewed, valid until") }).await;

    put(&certificate.key, &KeyPair::generate().unwrap().serialize_pem());
    edge.signal("HUP");
    eventually("the refusal is logged", || async { edge.logged("certificate not loaded: ") }).await;
    assert!(edge.told(&certificate.key.display().to_string()));
    assert_eq!(client.get(HOST).await.certificate, last);
    let taken = sent.load(Ordering::Relaxed);
    eventually("requests go on", || async { taken + 20 < sent.load(Ordering::Relaxed) }).await;
    stop.store(true, Ordering::Relaxed);
    for task in load {
        assert_eq!(task.await.unwrap(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn files_that_change_are_found_without_a_signal() {
    let secured = Secured::start("").await;
    let client = secured.client("h2");
    assert_eq!(client.get(HOST).await.certificate, secured.der);
    // The first may be found by the look at the start, the second is not.
    for _ in 0..2 {
        let new = secured.certificate.renew(HOST);
        eventually("the new certificate is shown", || async { client.get(HOST).await.certificate == new }).await;
    }
}

#[tokio::test]
async fn check_and_run_say_the_same_of_certificates_and_keys() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = Certificate::in_folder(folder.path(), "a");
    let file = folder.path().join("remora.yaml");
    let (plain, secured) = (free_port(), free_port());
    let text = format!(
        "listen:\n  - {plain}\n  - address: {secured}\n    tls:\n      certificate: a.pem\n      key: a.key\nadmin: off\n\
         docker: off\nroutes: {{ /: a }}\nupstreams: {{ a: {{ servers: \"127.0.0.1:9\", hold: 0 }} }}\n"
    );
    std::fs::write(&file, text).unwrap();
    type Harm = fn(&Certificate);
    const LOCKED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let (pem, key) = ("remora.yaml:5:20", "remora.yaml:6:12");
    let rows: [(Harm, &str, &str); 9] = [
        (|made| std::fs::remove_file(&made.pem).unwrap(), "cannot read the certificate", pem),
        (|made| std::fs::remove_file(&made.key).unwrap(), "cannot read the key", key),
        (|made| to_folder(&made.key), "it is not a regular file", key),
        (|made| put(&made.pem, "not a certificate"), "no certificate in", pem),
        (|made| put(&made.key, "not a key"), "no private key in", key),
        (|made| put(&made.pem, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "cannot use", pem),
        (|made| put(&made.key, &KeyPair::generate().unwrap().serialize_pem()), "does not match the first", key),
        (|made| put(&made.key, LOCKED), "has a passphrase", key),
        (|made| put(&made.key, "-----BEGIN PRIVATE KEY-----\nAAAA"), "cannot use the key", key),
    ];
    for (harm, expected, place) in rows {
        let _ = std::fs::remove_dir(&certificate.key);
        certificate.renew(HOST);
        harm(&certificate);
        let (checked, ran) = (said("check", &file).await, said("run", &file).await);
        assert_eq!((checked.0, checked.1.as_str()), (Some(2), ran.1.as_str()), "{expected}");
        assert_eq!(ran.0, Some(2), "{}", ran.1);
        for part in [expected, place, "= help: ", folder.path().to_str().unwrap()] {
            assert!(ran.1.contains(part), "{part} is not in {}", ran.1);
        }
    }
    let _ = std::fs::remove_dir(&certificate.key);
    certificate.renew(HOST);
    assert_eq!(said("check", &file).await, (Some(0), String::new()));
}

/// Puts an empty folder in a file's place.
fn to_folder(file: &std::path::Path) {
    std::fs::remove_file(file).unwrap();
    std::fs::create_dir(file).unwrap();
}

/// How a command ends that is given this file, and what it says on standard error.
async fn said(command: &str, file: &std::path::Path) -> (Option<i32>, String) {
    let mut remora = tokio::process::Command::new(env!("CARGO_BIN_EXE_remora"));
    let child = remora.arg(command).arg(file).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let ended = tokio::time::timeout(PATIENCE, child.output()).await.unwrap().unwrap();
    (ended.status.code(), String::from_utf8_lossy(&ended.stderr).into_owned())
}

#[tokio::test]
async fn an_expired_certificate_is_a_warning_of_check_and_of_run() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = Certificate::in_folder(folder.path(), "a");
    let key = KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec![HOST.to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    put(&certificate.pem, &params.self_signed(&key).unwrap().pem());
    put(&certificate.key, &key.serialize_pem());
    let origin = Origin::named("api").await;
    let secured = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let listen = |plain| format!("[\"{plain}\", {{ address: \"{secured}\", tls: {} }}]", certificate.yaml());
    let edge = TestEdge::start_listening(listen, "", &site(&origin)).await;
    assert!(edge.told("expired on 2021-01-01"));
    assert_eq!(Https::new(secured, "h2").get(HOST).await.status, 200);
    let (code, said) = said("check", &edge.file()).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("expired on 2021-01-01") && said.contains("renew it") && said.contains("remora.yaml:1:"),
        "{said}"
    );
}
