//! What is written down when a request is over, the same for every lane: the route's counters, a warning where the edge failed
//! it, one access log line.

use crate::snapshot::LiveRoute;
use crate::telemetry::metrics::Lane;
use crate::telemetry::{AccessEntry, AccessLogger, ErrorReason, Metrics, one_line};

/// nginx's status for a client that left before its response; it is logged and never sent.
const CLIENT_LEFT: u16 = 499;

/// One request that is over.
pub struct Record<'a> {
    /// What the access log says of it. A status of 0 is no response; route, upstream and note are set from the other fields.
    pub entry: AccessEntry<'a>,
    /// What took it.
    pub route: &'a LiveRoute,
    /// What served it.
    pub lane: Lane,
    /// Its path, for warnings.
    pub path: &'a str,
    /// Bytes of its body that were read.
    pub body_in: u64,
    /// Why it failed, where it did.
    pub reason: Option<ErrorReason>,
    /// What went wrong, for the error log.
    pub cause: Option<&'a str>,
}

impl<'a> Record<'a> {
    /// Writes it down.
    pub fn finish(mut self, metrics: &Metrics, access: &AccessLogger) {
        let answered = self.entry.status;
        if answered == 0 {
            self.entry.status = CLIENT_LEFT;
            self.reason.get_or_insert(ErrorReason::ClientAbort);
        }
        let (route, entry) = (self.route, &self.entry);
        metrics.took_lane(self.lane);
        route.metrics.finished(answered, entry.duration, self.body_in, entry.body_bytes);
        if let Some(reason) = self.reason {
            route.metrics.failed(reason);
        }
        for _ in 1..entry.tries {
            route.metrics.retried();
        }
        if entry.held.is_some() {
            route.metrics.held();
        }
        if (500..600).contains(&entry.status)
            && let Some(reason) = self.reason
        {
            self.warn(reason);
        }
        if access.is_on() {
            let upstream = route.upstream.as_ref().map(|upstream| upstream.name().as_str());
            let note = self.reason.map(ErrorReason::as_str);
            access.log(&AccessEntry { route: route.label.as_deref(), upstream, note, ..self.entry });
        }
    }

    /// One line a second and route about requests the edge failed; the access log has them all.
    fn warn(&self, reason: ErrorReason) {
        let Some(left_out) = self.route.warnings.admit() else { return };
        let reason = reason.as_str();
        let more = if left_out == 0 { String::new() } else { format!("; {left_out} similar suppressed") };
        let cause = self.cause.unwrap_or(reason);
        let (status, path) = (self.entry.status, one_line(self.path));
        let (method, id) = (self.entry.method, self.entry.request_id.unwrap_or_default());
        let (method, id) = (String::from_utf8_lossy(method), String::from_utf8_lossy(id));
        log::warn!(target: "remora::request", "{method} {path} failed with {status} ({reason}): {cause}, request {id}{more}");
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, pipe};
    use std::sync::Arc;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::config::model::{AccessLog, Route};
    use crate::telemetry::Limiter;

    /// What counters and access log say of a request that ended with this status.
    fn recorded(status: u16, reason: Option<ErrorReason>) -> (String, String) {
        let metrics = Metrics::new().unwrap();
        let route = LiveRoute {
            spec: Arc::new(Route::not_found()),
            cors: None,
            upstream: None,
            auth: None,
            label: Some("/".into()),
            metrics: metrics.unrouted(),
            warnings: Limiter::default(),
        };
        let (mut reader, sink) = pipe().unwrap();
        let access = AccessLogger::to_sink(AccessLog::Json, sink, metrics.log_lines_dropped("access")).unwrap();
        let entry = AccessEntry { method: b"GET", target: b"/", status, ..AccessEntry::at(UNIX_EPOCH) };
        let record = Record { entry, route: &route, lane: Lane::Fast, path: "/", body_in: 0, reason, cause: None };
        record.finish(&metrics, &access);
        assert!(access.flush(Duration::from_secs(5)));
        drop(access);
        let mut line = String::new();
        reader.read_to_string(&mut line).unwrap();
        (metrics.render(), line)
    }

    #[test]
    fn a_client_that_left_before_its_response_is_499_and_of_no_class() {
        #[rustfmt::skip]
        let rows = [
            // status  reason                             class   by number  logged  note
            (0,   None,                              "none", "499", 499, "\"client_abort\""),
            (0,   Some(ErrorReason::Timeout),        "none", "499", 499, "\"timeout\""),
            (200, None,                              "2xx",  "200", 200, "null"),
            // It left in the middle of the response.
            (200, Some(ErrorReason::ClientAbort),    "2xx",  "200", 200, "\"client_abort\""),
        ];
        for (status, reason, class, number, logged, note) in rows {
            let (metrics, line) = recorded(status, reason);
            let requests = |class: &str| {
                let wanted = format!("remora_requests_total{{class=\"{class}\",");
                metrics.lines().find(|line| line.starts_with(&wanted) && !line.ends_with(" 0")).is_some()
            };
            for other in ["none", "1xx", "2xx", "3xx", "4xx", "5xx"] {
                assert_eq!(requests(other), other == class, "{status} {reason:?}: {other}");
            }
            let numbered = |line: &&str| line.starts_with("remora_responses_total{") && line.ends_with(" 1");
            let numbers: Vec<&str> = metrics.lines().filter(numbered).collect();
            assert!(numbers.len() == 1 && numbers[0].contains(&format!("\"{number}\"")), "{numbers:?}");
            assert!(line.contains(&format!("\"status\":{logged},")), "{line}");
            assert!(line.contains(&format!("\"note\":{note}")), "{line}");
        }
    }
}
