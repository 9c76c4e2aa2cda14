//! Why something failed, as a word: the same one in the access log, the metrics and the status.

/// Why a request was not answered as its client hoped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorReason {
    /// No route matches the host and path.
    NoRoute,
    /// The request was malformed.
    BadRequest,
    /// The request was larger than allowed.
    TooLarge,
    /// The auth upstream said no.
    AuthDenied,
    /// The auth upstream did not answer in time.
    AuthTimeout,
    /// No backend of the auth upstream was known, could be reached or had room.
    AuthUnavailable,
    /// The auth upstream broke off, or said neither yes nor no.
    AuthFailed,
    /// No backend was known or usable.
    NoBackend,
    /// Every backend had more than it could answer.
    Overload,
    /// No backend came up while the request was held.
    HoldTimeout,
    /// The backend refused the connection.
    Refused,
    /// The connection to the backend could not be opened in time.
    ConnectTimeout,
    /// The connection to the backend could not be opened for another reason.
    ConnectFailed,
    /// The backend closed or reset the connection before it answered.
    Reset,
    /// The backend did not answer, or went on, in time.
    Timeout,
    /// The backend's answer was not HTTP.
    BadAnswer,
    /// The backend's answer ended before its end.
    Truncated,
    /// The client went away.
    ClientAbort,
    /// The client was too slow.
    ClientTimeout,
    /// The edge failed.
    Internal,
}

impl ErrorReason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 20] = [
        Self::NoRoute,
        Self::BadRequest,
        Self::TooLarge,
        Self::AuthDenied,
        Self::AuthTimeout,
        Self::AuthUnavailable,
        Self::AuthFailed,
        Self::NoBackend,
        Self::Overload,
        Self::HoldTimeout,
        Self::Refused,
        Self::ConnectTimeout,
        Self::ConnectFailed,
        Self::Reset,
        Self::Timeout,
        Self::BadAnswer,
        Self::Truncated,
        Self::ClientAbort,
        Self::ClientTimeout,
        Self::Internal,
    ];

    /// The word in logs and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoRoute => "no_route",
            Self::BadRequest => "bad_request",
            Self::TooLarge => "too_large",
            Self::AuthDenied => "auth_denied",
            Self::AuthTimeout => "auth_timeout",
            Self::AuthUnavailable => "auth_unavailable",
            Self::AuthFailed => "auth_failed",
            Self::NoBackend => "no_backend",
            Self::Overload => "overload",
            Self::HoldTimeout => "hold_timeout",
            Self::Refused => "refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::ConnectFailed => "connect_failed",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::BadAnswer => "bad_answer",
            Self::Truncated => "truncated",
            Self::ClientAbort => "client_abort",
            Self::ClientTimeout => "client_timeout",
            Self::Internal => "internal",
        }
    }
}

/// What went wrong on a backend, whether or not another one saved the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The connection was refused.
    Refused,
    /// The connection could not be opened in time.
    ConnectTimeout,
    /// The connection could not be opened for another reason.
    ConnectFailed,
    /// The connection ended before an answer.
    Reset,
    /// No answer in time.
    Timeout,
    /// The answer was not HTTP, or ended before its end.
    BadAnswer,
    /// A status of 500 to 599.
    Status5xx,
}

impl FailureKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Refused,
        Self::ConnectTimeout,
        Self::ConnectFailed,
        Self::Reset,
        Self::Timeout,
        Self::BadAnswer,
        Self::Status5xx,
    ];

    /// The word in logs and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::ConnectFailed => "connect_failed",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::BadAnswer => "bad_answer",
            Self::Status5xx => "status_5xx",
        }
    }
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CheckResult {
    /// It passed.
    Passed,
    /// It failed.
    Failed,
}

impl CheckResult {
    /// Both, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Passed, Self::Failed];

    /// The word in logs and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_whole_and_in_order() {
        for (index, reason) in ErrorReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index, "{}", reason.as_str());
        }
        for (index, kind) in FailureKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index, "{}", kind.as_str());
        }
        assert_eq!(CheckResult::ALL.map(|result| result as usize), [0, 1]);
    }
}
