//! Why a probe or a request failed, in the words of logs and metrics.

use crate::telemetry::FailureKind;

/// Why a probe or a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The connection was refused.
    Refused,
    /// The connection could not be opened in time.
    ConnectTimeout,
    /// The connection could not be opened for another reason.
    ConnectFailed,
    /// No answer in time.
    Timeout,
    /// The connection ended before an answer.
    Reset,
    /// An answer with a status that is not expected.
    Status(u16),
    /// The answer was not HTTP.
    BadAnswer,
}

impl Failure {
    /// The same as metrics and logs word it.
    pub fn kind(self) -> FailureKind {
        match self {
            Self::Refused => FailureKind::Refused,
            Self::ConnectTimeout => FailureKind::ConnectTimeout,
            Self::ConnectFailed => FailureKind::ConnectFailed,
            Self::Timeout => FailureKind::Timeout,
            Self::Reset => FailureKind::Reset,
            Self::Status(_) => FailureKind::Status5xx,
            Self::BadAnswer => FailureKind::BadAnswer,
        }
    }

    /// True when all that is known is that it took too long.
    pub fn is_late(self) -> bool {
        matches!(self, Self::Timeout | Self::ConnectTimeout)
    }

    /// True when no connection stood: the backend has seen nothing.
    pub fn is_unreachable(self) -> bool {
        matches!(self, Self::Refused | Self::ConnectTimeout | Self::ConnectFailed)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::ConnectTimeout => f.write_str("connection timed out"),
            Self::ConnectFailed => f.write_str("connection failed"),
            Self::Timeout => f.write_str("response timed out"),
            Self::Reset => f.write_str("connection closed before a response"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::BadAnswer => f.write_str("not an HTTP response"),
        }
    }
}
