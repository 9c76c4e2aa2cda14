//! What may go wrong while a request is passed on, and what the client is told.

use crate::plan::Refusal;
use crate::telemetry::ErrorReason;
use crate::upstream::Failure;

/// Who failed, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The client went away, or stopped taking its answer.
    ClientLeft,
    /// The client sent or took too little for too long.
    ClientSlow,
    /// The client's body is malformed.
    BadBody(&'static str),
    /// The client's body is larger than its route takes.
    TooLarge,
    /// The backend failed.
    Backend(Failure),
    /// No backend took the request: what the last one did, and whether the request was held meanwhile.
    NoBackend(Option<Failure>, bool),
    /// Every backend has more than it can answer.
    Overloaded,
    /// The backend was put out while the request waited in it, and another can take it.
    Evicted,
}

impl Fault {
    /// The answer, where there is still someone to tell.
    pub fn refusal(self) -> Option<Refusal> {
        match self {
            Self::ClientLeft => None,
            Self::ClientSlow => Some(Refusal::too_slow()),
            Self::BadBody(why) => Some(Refusal::bad_request(why)),
            Self::TooLarge => Some(Refusal::too_large()),
            Self::Backend(failure) => Some(Refusal::backend_failed(failure)),
            Self::Overloaded => Some(Refusal::overloaded()),
            // Never told: the request has somewhere to go.
            Self::Evicted => Some(Refusal::backend_failed(Failure::Timeout)),
            Self::NoBackend(last, held) => Some(Refusal::no_backend(last, held)),
        }
    }

    /// The word for log and metrics once the answer has begun.
    pub fn reason_when_begun(self) -> ErrorReason {
        match self {
            Self::ClientLeft => ErrorReason::ClientAbort,
            Self::ClientSlow => ErrorReason::ClientTimeout,
            Self::BadBody(_) => ErrorReason::BadRequest,
            Self::TooLarge => ErrorReason::TooLarge,
            Self::Backend(_) | Self::NoBackend(..) | Self::Overloaded | Self::Evicted => ErrorReason::Truncated,
        }
    }

    /// True where the client did nothing wrong.
    pub fn is_backends(self) -> bool {
        matches!(self, Self::Backend(_) | Self::NoBackend(..) | Self::Overloaded | Self::Evicted)
    }
}
