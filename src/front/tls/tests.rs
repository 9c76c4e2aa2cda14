//! What is spoken, whom it is spoken with, and files that cannot be used.

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use rustls::{ProtocolVersion, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::testing::{Client, Files, Made, link, made, made_ed25519, made_until, shown, spec};
use super::*;
use crate::config::model::CertificateSpec;

/// What `openssl x509 -req -signkey` makes where nothing else is said. Its names cannot be told from its subject.
const VERSION_1: &str = "\
-----BEGIN CERTIFICATE-----
MIHSMIGFAhQ8eky3fqZUuE36BsVU9glrYW3qUTAFBgMrZXAwDDEKMAgGA1UEAwwB
eDAeFw0yNjExMjExMTQ5MzlaFw0yNjExMzAxMTQ5MzlaMAwxCjAIBgNVBAMMAXgw
KjAFBgMrZXADIQB8plerAy+JajlVVXjRgAIL3RGekIqQwRudIZYsWMVoOjAFBgMr
ZXADQQB2fOxCMM0gCLV4cWtkBdErV5nStXJZn5EXQ3Gew+ED0jFvbC73w4iyJR0s
1VMhI6fyVzdpVol/CCi66uLqRdcJ
-----END CERTIFICATE-----
";

fn acceptor(files: &Files, made: &Made) -> TlsAcceptor {
    TlsAcceptor::new(&spec(vec![files.put_pair("a", made)])).unwrap()
}

#[tokio::test]
async fn http2_is_chosen_before_http1_and_nothing_where_nothing_is_offered() {
    let acceptor = acceptor(&Files::new(), &made(&["a.example"]));
    type Offer = (&'static [&'static [u8]], Option<&'static [u8]>);
    let offers: [Offer; 4] = [
        (&[b"http/1.1", b"h2"], Some(b"h2")),
        (&[b"h2"], Some(b"h2")),
        (&[b"http/1.0", b"http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ];
    for (offered, chosen) in offers {
        let client = Client { alpn: offered.to_vec(), ..Client::default() };
        let mut link = link(&acceptor, &client.connector(), "a.example").await.unwrap();
        assert_eq!(link.alpn(), chosen, "{offered:?}");
        link.exchange().await;
    }
    let client = Client { alpn: vec![b"spdy/3"], ..Client::default() };
    assert!(link(&acceptor, &client.connector(), "a.example").await.is_err(), "nothing in common");
}

#[tokio::test]
async fn both_versions_are_spoken_unless_the_file_asks_for_the_newer() {
    let files = Files::new();
    let pair = files.put_pair("a", &made(&["a.example"]));
    let usual = TlsAcceptor::new(&spec(vec![pair.clone()])).unwrap();
    let newest = TlsAcceptor::new(&TlsSpec { certificates: vec![pair], min: TlsVersion::Tls13 }).unwrap();
    let speak = |versions: &[_]| Client { versions: versions.to_vec(), ..Client::default() }.connector();
    for (acceptor, client, expected) in [
        (&usual, speak(&[&TLS12, &TLS13]), Some(ProtocolVersion::TLSv1_3)),
        (&usual, speak(&[&TLS12]), Some(ProtocolVersion::TLSv1_2)),
        (&newest, speak(&[&TLS12, &TLS13]), Some(ProtocolVersion::TLSv1_3)),
        (&newest, speak(&[&TLS12]), None),
    ] {
        let link = link(acceptor, &client, "a.example").await;
        assert_eq!(link.ok().map(|link| link.version()), expected);
    }
}

#[tokio::test]
async fn a_client_that_returns_resumes_its_session_also_after_a_renewal() {
    let files = Files::new();
    let acceptor = acceptor(&files, &made(&["a.example"]));
    for version in [&TLS12, &TLS13] {
        let client = Client { versions: vec![version], ..Client::default() }.connector();
        let mut first = link(&acceptor, &client, "a.example").await.unwrap();
        assert!(!first.is_resumed());
        first.exchange().await;
        files.put_pair("a", &made(&["a.example"]));
        assert!(acceptor.certificates().reload().unwrap());
        let mut second = link(&acceptor, &client, "a.example").await.unwrap();
        second.exchange().await;
        assert!(second.is_resumed(), "{version:?}");
    }
}

#[tokio::test]
async fn a_handshake_gives_one_ticket_that_allows_no_early_data() {
    let acceptor = acceptor(&Files::new(), &made(&["a.example"]));
    let mut config = Client { versions: vec![&TLS13], ..Client::default() }.connector().config().as_ref().clone();
    config.enable_early_data = true;
    let config = Arc::new(config);
    let client = tokio_rustls::TlsConnector::from(Arc::clone(&config));
    link(&acceptor, &client, "a.example").await.unwrap().exchange().await;
    let mut returning = rustls::ClientConnection::new(config, "a.example".try_into().unwrap()).unwrap();
    assert!(returning.early_data().is_none());
    let mut next = link(&acceptor, &client, "a.example").await.unwrap();
    assert!(!next.is_resumed(), "the one ticket was taken by the connection above");
    next.exchange().await;
    assert!(link(&acceptor, &client, "a.example").await.unwrap().is_resumed());
}

#[tokio::test]
async fn the_name_a_client_asks_for_chooses_the_certificate() {
    let files = Files::new();
    let (first, second) = (made(&["a.example", "www.a.example"]), made(&["b.example", "*.B.example"]));
    let third = made(&["deep.b.example"]);
    let pairs = [("a", &first), ("b", &second), ("c", &third)].map(|(name, made)| files.put_pair(name, made));
    let acceptor = TlsAcceptor::new(&spec(pairs.into())).unwrap();
    for (host, expected) in [
        ("a.example", &first),
        ("www.a.example", &first),
        ("b.example", &second),
        ("B.Example", &second),
        ("x.b.example", &second),
        ("deep.b.example", &third),
        ("x.y.b.example", &first),
        ("unknown.example", &first),
        ("example", &first),
        ("127.0.0.1", &first),
    ] {
        assert_eq!(shown(&acceptor, host).await, expected.der, "{host}");
    }
}

#[tokio::test]
async fn of_two_certificates_for_a_host_a_client_is_shown_one_it_can_check() {
    let files = Files::new();
    let (ecdsa, edwards) = (made(&["a.example"]), made_ed25519(&["a.example"]));
    let pairs = vec![files.put_pair("ecdsa", &ecdsa), files.put_pair("edwards", &edwards)];
    let acceptor = TlsAcceptor::new(&spec(pairs)).unwrap();
    for (scheme, expected) in [(SignatureScheme::ED25519, &edwards), (SignatureScheme::ECDSA_NISTP256_SHA256, &ecdsa)] {
        let client = Client { schemes: vec![scheme], ..Client::default() }.connector();
        for host in ["a.example", "unknown.example"] {
            let link = link(&acceptor, &client, host).await.unwrap();
            assert_eq!(link.shown(), expected.der, "{scheme:?} {host}");
        }
    }
    assert_eq!(shown(&acceptor, "a.example").await, ecdsa.der, "the first, for a client that can check both");
}

#[tokio::test]
async fn plain_http_is_refused_at_once() {
    let acceptor = acceptor(&Files::new(), &made(&["a.example"]));
    let (mut client, server) = tokio::io::duplex(1024);
    client.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await.unwrap();
    let refused = tokio::time::timeout(Duration::from_secs(5), acceptor.accept(server)).await.unwrap();
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::InvalidData);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer.first(), Some(&21), "an alert (RFC 8446, section 5.1), and the connection is closed");
}

#[test]
fn what_cannot_be_used_is_said_with_its_file() {
    let files = Files::new();
    let (good, other) = (made(&["a.example"]), made(&["a.example"]));
    let pem = |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
    let legacy = pem("EC PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA");
    let rows = [
        (Some(""), None, "no certificate in {}/a.pem; "),
        (Some(good.key.as_str()), None, "no certificate in {}/a.pem; "),
        (Some("-----BEGIN CERTIFICATE-----\nAAAA"), None, "cannot use the certificate {}/a.pem: "),
        (
            Some("-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n"),
            None,
            "cannot use the certificate {}/a.pem: ",
        ),
        (Some(&pem("CERTIFICATE", "AAAA")), None, "cannot use the certificate {}/a.pem: "),
        (Some(VERSION_1), None, "cannot use the certificate {}/a.pem: it has X.509 version 1; "),
        (None, Some(""), "no private key in {}/a.key; "),
        (None, Some(&good.certificate), "no private key in {}/a.key; "),
        (None, Some(&pem("ENCRYPTED PRIVATE KEY", "AAAA")), "the key {}/a.key has a passphrase; "),
        (None, Some(&legacy), "the key {}/a.key has a passphrase; "),
        (None, Some(&pem("PRIVATE KEY", "AAAA")), "the key {}/a.key is not supported; "),
        (None, Some("-----BEGIN PRIVATE KEY-----\nAAAA"), "cannot use the key {}/a.key: "),
        (None, Some(&other.key), "the key {}/a.key does not match the first certificate in {}/a.pem; "),
        (
            Some(&format!("{}{}", other.certificate, good.certificate)),
            None,
            "the key {}/a.key does not match the first",
        ),
    ];
    for (certificate, key, expected) in rows {
        let pair = CertificateSpec {
            certificate: files.put("a.pem", certificate.unwrap_or(&good.certificate)),
            key: files.put("a.key", key.unwrap_or(&good.key)),
        };
        let said = TlsAcceptor::new(&spec(vec![pair])).unwrap_err().to_string();
        let expected = expected.replace("{}", files.folder().to_str().unwrap());
        assert!(said.starts_with(&expected), "{said}\ninstead of\n{expected}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_never_waited_for() {
    let files = Files::new();
    let pair = files.put_pair("a", &made(&["a.example"]));
    let missing = files.path("missing.pem");
    let folder = files.folder().to_owned();
    let large = files.put("large.pem", "x".repeat((1 << 20) + 1));
    let pipe = files.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for (file, why) in [
        (missing, "it does not exist; correct the path, or mount its folder"),
        (folder, "it is not a regular file; give the path of a PEM file"),
        (large, "it is larger than 1MiB; give the path of a PEM file"),
        (pipe, "it is not a regular file; give the path of a PEM file"),
    ] {
        let shown = file.display().to_string();
        let certificate = CertificateSpec { certificate: file.clone(), ..pair.clone() };
        let error = TlsAcceptor::new(&spec(vec![certificate])).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot read the certificate {shown}: {why}"));
        let key = CertificateSpec { key: file, ..pair.clone() };
        let error = TlsAcceptor::new(&spec(vec![pair.clone(), key])).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot read the key {shown}: {why}"));
    }
}

#[tokio::test]
async fn a_chain_a_key_in_the_same_file_and_an_expired_certificate_are_used() {
    let files = Files::new();
    let (own, issuer) = (made(&["a.example"]), made(&["ca.example"]));
    let mut together = fs::File::create(files.path("all.pem")).unwrap();
    writeln!(together, "first some words\n{}{}{}", own.key, own.certificate, issuer.certificate).unwrap();
    let pair = CertificateSpec { certificate: files.path("all.pem"), key: files.path("all.pem") };
    let acceptor = TlsAcceptor::new(&spec(vec![pair])).unwrap();
    let link = link(&acceptor, &Client::default().connector(), "a.example").await.unwrap();
    let chain = link.client.get_ref().1.peer_certificates().unwrap();
    assert_eq!(chain, [own.der, issuer.der]);

    let expired = made_until(&["old.example"], 2021);
    let acceptor = TlsAcceptor::new(&spec(vec![files.put_pair("old", &expired)])).unwrap();
    assert_eq!(shown(&acceptor, "old.example").await, expired.der);
}
