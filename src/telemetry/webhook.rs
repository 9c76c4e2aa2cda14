//! Posts notices to an address that the operator named. Never waits: what the other side cannot take in time is dropped and
//! said so.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// Notices that may wait; more are dropped.
const WAITING: usize = 64;
/// Deadline of one post, and the pause before it is tried once more.
const WITHIN: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_secs(2);

/// A place that is told of things.
#[derive(Debug, Clone)]
pub struct Webhook(SyncSender<String>);

impl Webhook {
    /// Starts a thread of its own that posts to `address`, `http:` or `https:`; it ends with the last clone of this.
    ///
    /// # Errors
    /// When the system has no thread.
    pub fn start(address: String) -> std::io::Result<Self> {
        let (sender, waiting) = sync_channel(WAITING);
        std::thread::Builder::new().name("webhook".to_owned()).spawn(move || post_all(&address, &waiting))?;
        Ok(Self(sender))
    }

    /// Posts a JSON text soon.
    pub fn post(&self, json: String) {
        if let Err(TrySendError::Full(_)) = self.0.try_send(json) {
            log::warn!("webhook: {WAITING} notices are already queued; one was dropped");
        }
    }
}

fn post_all(address: &str, waiting: &Receiver<String>) {
    let verifier = ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::PlatformVerifier).build();
    let config = ureq::Agent::config_builder().timeout_global(Some(WITHIN)).max_redirects(0).tls_config(verifier);
    let agent: ureq::Agent = config.build().into();
    while let Ok(json) = waiting.recv() {
        let post = || agent.post(address).header("content-type", "application/json").send(json.as_str());
        let result = post().or_else(|_| {
            std::thread::sleep(AGAIN);
            post()
        });
        if let Err(error) = result {
            // Without the address, which is often a secret.
            log::warn!("webhook: cannot post a notice: {}", one_cause(&error));
        }
    }
}

fn one_cause(error: &ureq::Error) -> String {
    match error {
        ureq::Error::StatusCode(status) => format!("the response status was {status}"),
        ureq::Error::Timeout(_) => format!("timed out after {WITHIN:?}"),
        ureq::Error::HostNotFound => "unknown host".to_owned(),
        ureq::Error::Io(error) => error.to_string(),
        _ => "the URL cannot be reached".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_notice_is_posted_and_tried_once_more() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let hook = Webhook::start(format!("http://{}/hook?token=x", listener.local_addr().unwrap())).unwrap();
        hook.post("{\"event\":\"gave_up\"}".to_owned());
        let mut asked = Vec::new();
        for answer in ["HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"] {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(WITHIN)).unwrap();
            let (mut text, mut buffer) = (String::new(), [0; 4096]);
            while !text.contains("gave_up") {
                let count = stream.read(&mut buffer).unwrap();
                assert_ne!(count, 0, "{text}");
                text.push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
            stream.write_all(answer.as_bytes()).unwrap();
            asked.push(text);
        }
        assert!(asked.iter().all(|text| text.starts_with("POST /hook?token=x HTTP/1.1\r\n")), "{asked:?}");
    }

    #[test]
    fn who_does_not_take_notices_holds_nobody_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let hook = Webhook::start(format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let started = std::time::Instant::now();
        for _ in 0..WAITING * 2 {
            hook.post("{}".to_owned());
        }
        assert!(started.elapsed() < Duration::from_secs(1));
    }
}
