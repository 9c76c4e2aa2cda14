//! Certificates that are replaced while connections come and go.

use std::fs;

use rustls_pki_types::CertificateDer;
use tokio::time::{Instant, sleep};

use super::super::TlsAcceptor;
use super::super::testing::{Client, Files, handshake, link, made, made_from, made_until, shown, spec};
use super::*;
use crate::types::OwnedTask;

/// As [`shown`], without a socket, so that time can be turned on.
async fn shown_in_memory(acceptor: &TlsAcceptor) -> CertificateDer<'static> {
    let (client, server) = tokio::io::duplex(64 * 1024);
    handshake(acceptor, &Client::default().connector(), "a.example", client, server).await.unwrap().shown()
}

fn told(certificates: &Certificates) -> Option<String> {
    certificates.loaded.lock()[0].told.clone()
}

#[tokio::test]
async fn new_handshakes_get_the_new_certificate_and_old_connections_go_on() {
    let files = Files::new();
    let (old, new) = (made(&["a.example"]), made(&["a.example"]));
    let acceptor = TlsAcceptor::new(&spec(vec![files.put_pair("a", &old)])).unwrap();
    let client = Client::default().connector();
    let mut before = link(&acceptor, &client, "a.example").await.unwrap();
    assert!(!acceptor.certificates().reload().unwrap(), "nothing changed");
    files.put_pair("a", &new);
    assert_eq!(shown(&acceptor, "a.example").await, old.der, "not read yet");
    assert!(acceptor.certificates().reload().unwrap());
    assert!(!acceptor.certificates().reload().unwrap());
    assert_eq!(shown(&acceptor, "a.example").await, new.der);
    before.exchange().await;
    assert_eq!(before.shown(), old.der);
}

#[tokio::test]
async fn a_renewed_certificate_is_found_by_its_new_names() {
    let files = Files::new();
    let (first, old, new) = (made(&["a.example"]), made(&["b.example"]), made(&["c.example"]));
    let pairs = vec![files.put_pair("a", &first), files.put_pair("b", &old)];
    let acceptor = TlsAcceptor::new(&spec(pairs)).unwrap();
    files.put_pair("b", &new);
    assert!(acceptor.certificates().reload().unwrap());
    assert_eq!(shown(&acceptor, "c.example").await, new.der);
    assert_eq!(shown(&acceptor, "b.example").await, first.der);
}

#[tokio::test]
async fn a_bad_new_certificate_is_refused_and_the_old_one_stays() {
    let files = Files::new();
    let old = made(&["a.example"]);
    let pair = files.put_pair("a", &old);
    let acceptor = TlsAcceptor::new(&spec(vec![pair.clone()])).unwrap();
    let refused = |why: &str| {
        let error = acceptor.certificates().reload().unwrap_err().to_string();
        assert!(error.contains(why) && error.contains(files.folder().to_str().unwrap()), "{error}");
        assert_eq!(told(acceptor.certificates()), Some(error));
    };
    files.put("a.pem", made(&["a.example"]).certificate);
    refused("does not match the first certificate");
    assert_eq!(shown(&acceptor, "a.example").await, old.der);
    files.put("a.pem", "");
    refused("no certificate in");
    fs::remove_file(&pair.certificate).unwrap();
    refused("it does not exist");
    files.put_pair("a", &made_until(&["a.example"], 2021));
    refused("expired on 2021-01-01 00:00 UTC");
    files.put_pair("a", &made_from(&["a.example"], 2990));
    refused("is not valid before 2990-01-01 00:00 UTC");
    assert_eq!(shown(&acceptor, "a.example").await, old.der);

    files.put_pair("a", &old);
    assert!(!acceptor.certificates().reload().unwrap(), "the old files are back");
    assert_eq!(told(acceptor.certificates()), None);
    let new = made(&["a.example"]);
    files.put_pair("a", &new);
    assert!(acceptor.certificates().reload().unwrap());
    assert_eq!(shown(&acceptor, "a.example").await, new.der);
}

#[tokio::test]
async fn one_bad_pair_does_not_keep_the_others_back() {
    let files = Files::new();
    let (old, new) = (made(&["a.example"]), made(&["b.example"]));
    let acceptor =
        TlsAcceptor::new(&spec(vec![files.put_pair("a", &old), files.put_pair("b", &made(&["b.example"]))])).unwrap();
    files.put("a.key", "");
    files.put_pair("b", &new);
    acceptor.certificates().reload().unwrap_err();
    assert_eq!(shown(&acceptor, "a.example").await, old.der);
    assert_eq!(shown(&acceptor, "b.example").await, new.der);
}

#[tokio::test]
async fn an_expired_certificate_is_better_than_an_older_one() {
    let files = Files::new();
    let acceptor = TlsAcceptor::new(&spec(vec![files.put_pair("a", &made_until(&["a.example"], 2010))])).unwrap();
    let newer = made_until(&["a.example"], 2021);
    files.put_pair("a", &newer);
    assert!(acceptor.certificates().reload().unwrap());
    assert_eq!(shown(&acceptor, "a.example").await, newer.der);
}

/// Turns time on until a certificate is shown.
async fn shown_within(acceptor: &TlsAcceptor, expected: &CertificateDer<'static>, most: Duration) {
    let start = Instant::now();
    while shown_in_memory(acceptor).await != *expected {
        assert!(start.elapsed() <= most, "not shown within {most:?}");
        sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn changed_files_are_found_and_a_bad_pair_is_told_once() {
    let files = Files::new();
    let (old, new, last) = (made(&["a.example"]), made(&["a.example"]), made(&["a.example"]));
    let acceptor = TlsAcceptor::new(&spec(vec![files.put_pair("a", &old)])).unwrap();
    let certificates = Arc::clone(acceptor.certificates());
    let _watching = OwnedTask::spawn(Arc::clone(&certificates).watch());
    let look = POLL + Duration::from_secs(1);
    sleep(look).await;
    assert_eq!(shown_in_memory(&acceptor).await, old.der);
    files.put_pair("a", &new);
    shown_within(&acceptor, &new.der, look).await;

    // The next certificate without its key, as between two writes.
    sleep(Duration::from_secs(1)).await;
    files.put("a.pem", &last.certificate);
    sleep(POLL).await;
    assert_eq!(told(&certificates), None, "the key may be on its way");
    sleep(POLL).await;
    let said = told(&certificates).unwrap();
    assert!(said.contains("does not match the first certificate"), "{said}");
    assert_eq!(shown_in_memory(&acceptor).await, new.der);
    files.put("a.key", &last.key);
    shown_within(&acceptor, &last.der, look).await;
    assert_eq!(told(&certificates), None);
}

#[test]
fn what_a_start_would_say_is_known_before_it() {
    let files = Files::new();
    let part = |spec: &CertificateSpec| prove(spec, 0).unwrap_err().part;
    let good = files.put_pair("good", &made(&["a.example"]));
    assert_eq!(prove(&good, 0), Ok(Vec::new()));
    let missing = files.path("missing.pem");
    assert_eq!(part(&CertificateSpec { key: missing.clone(), ..good.clone() }), CertificatePart::Key);
    assert_eq!(part(&CertificateSpec { certificate: missing, ..good.clone() }), CertificatePart::Certificate);
    let other = files.put_pair("other", &made(&["b.example"]));
    let mixed = prove(&CertificateSpec { key: other.key, ..good }, 0).unwrap_err();
    assert!(mixed.part == CertificatePart::Key && mixed.text.contains("does not match"), "{mixed:?}");

    let said = |spec: &CertificateSpec, index| {
        let doubts = prove(spec, index).unwrap();
        doubts.into_iter().map(|doubt| doubt.text).collect::<Vec<_>>().join("\n")
    };
    let old = files.put_pair("old", &made_until(&["a.example"], 2021));
    assert!(said(&old, 0).contains("expired on 2021-01-01 00:00 UTC, and clients will not trust it; renew it"));
    let early = files.put_pair("early", &made_from(&["a.example"], 2990));
    assert!(said(&early, 0).contains("is not valid before 2990-01-01 00:00 UTC; check the clock"));
    let nameless = files.put_pair("nameless", &made(&[]));
    assert_eq!(said(&nameless, 0), "");
    assert!(said(&nameless, 1).contains("names no host"));
}
