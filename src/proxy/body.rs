//! A request's body: its limit, and what of it was read before a backend was chosen.

use bytes::{Bytes, BytesMut};
use pingora::{Error, ErrorSource, ErrorType, Result};
use tokio::sync::OwnedSemaphorePermit;

/// What is known of a request's body.
#[derive(Default)]
pub(super) struct RequestBody {
    /// Largest size allowed.
    pub limit: Option<u64>,
    /// Bytes passed to the backend in this attempt.
    passed: u64,
    /// What was read ahead of Pingora's own buffer.
    ahead: Bytes,
    ahead_sent: bool,
    /// The client's `Expect: 100-continue` was answered here.
    pub expectation_met: bool,
    _memory: Option<OwnedSemaphorePermit>,
}

impl RequestBody {
    /// A new attempt starts: what was read ahead has to be sent again.
    pub fn rewind(&mut self) {
        self.passed = 0;
        self.ahead_sent = false;
    }

    /// Keeps what was read ahead of Pingora's own buffer, to be sent first in every attempt.
    pub fn keep(&mut self, ahead: Bytes) {
        self.ahead = ahead;
    }

    /// Keeps the memory that it waits in until the request is over.
    pub fn occupy(&mut self, memory: OwnedSemaphorePermit) {
        self._memory = Some(memory);
    }

    /// Puts what was read ahead in front, and ends a body that passes its limit.
    pub fn pass(&mut self, body: &mut Option<Bytes>) -> Result<()> {
        if !self.ahead_sent && !self.ahead.is_empty() {
            self.ahead_sent = true;
            let mut joined = BytesMut::with_capacity(self.ahead.len() + body.as_ref().map_or(0, Bytes::len));
            joined.extend_from_slice(&self.ahead);
            joined.extend_from_slice(body.as_deref().unwrap_or_default());
            *body = Some(joined.freeze());
        }
        self.passed += body.as_ref().map_or(0, |bytes| bytes.len() as u64);
        if self.limit.is_some_and(|limit| limit < self.passed) {
            let mut error = Error::explain(ErrorType::HTTPStatus(413), "the request body is too large");
            error.esource = ErrorSource::Downstream;
            return Err(error);
        }
        Ok(())
    }
}
