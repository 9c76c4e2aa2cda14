//! Posts notices to an address that the operator named. Never waits: what the other side cannot take in time is dropped and
//! said so.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use crate::telemetry::Limiter;

/// Notices that may wait; more are dropped.
const WAITING: usize = 64;
/// Deadline of one post.
const WITHIN: Duration = Duration::from_secs(5);
/// Pauses before a post is tried again. Notices behind it wait meanwhile.
const PAUSES: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(10), Duration::from_secs(30)];
/// Longest pause that the other side may ask for, by `Retry-After`.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// A place that is told of things.
#[derive(Debug, Clone)]
pub(super) struct Webhook {
    queue: SyncSender<String>,
    dropped: Arc<Limiter>,
}

impl Webhook {
    /// Starts a thread of its own that posts to `address`, `http:` or `https:`; it ends with the last clone of this.
    ///
    /// # Errors
    /// When the system has no thread.
    pub(super) fn start(address: String) -> std::io::Result<Self> {
        let (queue, waiting) = sync_channel(WAITING);
        std::thread::Builder::new().name("webhook".to_owned()).spawn(move || post_all(&address, &waiting))?;
        Ok(Self { queue, dropped: Arc::default() })
    }

    /// Posts a JSON text soon.
    pub(super) fn post(&self, json: String) {
        if let Err(TrySendError::Full(_)) = self.queue.try_send(json)
            && let Some(more) = self.dropped.admit()
        {
            log::warn!("webhook: {WAITING} notices are already queued; {} dropped", more + 1);
        }
    }
}

fn post_all(address: &str, waiting: &Receiver<String>) {
    let verifier = ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::PlatformVerifier).build();
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(WITHIN))
        .http_status_as_error(false)
        .max_redirects(0)
        .tls_config(verifier);
    let agent: ureq::Agent = config.build().into();
    while let Ok(json) = waiting.recv() {
        let mut pauses = PAUSES.iter();
        while let Err(failure) = post(&agent, address, &json) {
            let Some(pause) = pauses.next().filter(|_| failure.may_pass) else {
                // Without the address, which is often a secret.
                log::warn!("webhook: cannot post a notice: {}", failure.cause);
                break;
            };
            std::thread::sleep(failure.asked_pause.unwrap_or(*pause).min(PAUSE_MAX));
        }
    }
}

/// Why a post was not taken.
struct PostFailure {
    cause: String,
    /// It may be taken when it is tried again.
    may_pass: bool,
    asked_pause: Option<Duration>,
}

fn post(agent: &ureq::Agent, address: &str, json: &str) -> Result<(), PostFailure> {
    let response = agent.post(address).header("content-type", "application/json").send(json);
    let response =
        response.map_err(|error| PostFailure { cause: one_cause(&error), may_pass: true, asked_pause: None })?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let asked = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse::<f64>().ok());
    let asked_pause = asked.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let hint = match status.as_u16() {
        300..400 => "; give the URL that it redirects to",
        400..500 => "; is the URL still valid, and does `format` fit its receiver?",
        _ => "",
    };
    Err(PostFailure {
        cause: format!("the response status was {}{hint}", status.as_u16()),
        may_pass: status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429),
        asked_pause,
    })
}

fn one_cause(error: &ureq::Error) -> String {
    match error {
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
    fn a_notice_is_posted_and_tried_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let hook = Webhook::start(format!("http://{}/hook?token=x", listener.local_addr().unwrap())).unwrap();
        hook.post("{\"event\":\"first\"}".to_owned());
        hook.post("{\"event\":\"second\"}".to_owned());
        // What cannot be taken now is sent again; what is refused is not.
        let answers = [
            ("first", "500 No\r\nRetry-After: 0.1"),
            ("first", "429 Slow\r\nRetry-After: 0"),
            ("first", "404 Gone"),
            ("second", "204 OK"),
        ];
        for (event, answer) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(WITHIN)).unwrap();
            let (mut text, mut buffer) = (String::new(), [0; 4096]);
            while !text.ends_with('}') {
                let count = stream.read(&mut buffer).unwrap();
                assert_ne!(count, 0, "{text}");
                text.push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
            assert!(text.starts_with("POST /hook?token=x HTTP/1.1\r\n") && text.contains(event), "{text}");
            let head = format!("HTTP/1.1 {answer}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
        }
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
