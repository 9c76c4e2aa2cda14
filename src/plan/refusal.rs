//! From the cause of a failure to the answer the client gets: status, sentence and reason, in one place.

use http::StatusCode;

use crate::telemetry::ErrorReason;
use crate::upstream::Failure;

/// An answer of the edge's own, instead of a backend's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Sent to the client.
    pub status: StatusCode,
    /// A sentence for the reader of the body.
    pub detail: &'static str,
    /// For log and metrics.
    pub reason: ErrorReason,
}

/// A request that cannot be read.
pub const UNREADABLE: Refusal =
    Refusal::new(StatusCode::BAD_REQUEST, "the request is malformed", ErrorReason::BadRequest);

const TIMEOUT: &str = "the backend timed out";
const NOBODY: &str = "no backend is up; try again shortly";
const UNREACHABLE: &str = "the backend cannot be reached";
const UNDECIDED: &str = "cannot determine whether this request is allowed; try again shortly";

impl Refusal {
    /// All three together.
    pub const fn new(status: StatusCode, detail: &'static str, reason: ErrorReason) -> Self {
        Self { status, detail, reason }
    }

    /// 400, for what could be read in two ways.
    pub const fn bad_request(detail: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail, ErrorReason::BadRequest)
    }

    /// 400: the path can be read in two ways.
    pub const fn ambiguous() -> Self {
        Self::bad_request("ambiguous path encoding")
    }

    /// 404: no route of the file takes the request.
    pub const fn no_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, "no matching route", ErrorReason::NoRoute)
    }

    /// 413
    pub const fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "the request body is too large", ErrorReason::TooLarge)
    }

    /// 414
    pub const fn too_long() -> Self {
        Self::new(StatusCode::URI_TOO_LONG, "the request target is too long", ErrorReason::BadRequest)
    }

    /// 431
    pub const fn too_many_fields() -> Self {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        Self::new(status, "the request has too many headers", ErrorReason::BadRequest)
    }

    /// 408
    pub const fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "the request took too long", ErrorReason::ClientTimeout)
    }

    /// 500
    pub const fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal proxy error", ErrorReason::Internal)
    }

    /// What the last backend did: 504 for what took too long, 502 for the rest.
    pub const fn backend_failed(failure: Failure) -> Self {
        match failure {
            Failure::Timeout => Self::new(StatusCode::GATEWAY_TIMEOUT, TIMEOUT, ErrorReason::Timeout),
            Failure::ConnectTimeout => Self::new(StatusCode::GATEWAY_TIMEOUT, UNREACHABLE, ErrorReason::ConnectTimeout),
            Failure::Refused => Self::new(StatusCode::BAD_GATEWAY, UNREACHABLE, ErrorReason::Refused),
            Failure::ConnectFailed => Self::new(StatusCode::BAD_GATEWAY, UNREACHABLE, ErrorReason::ConnectFailed),
            Failure::Reset => Self::new(
                StatusCode::BAD_GATEWAY,
                "the backend closed the connection before it responded",
                ErrorReason::Reset,
            ),
            Failure::Status(_) | Failure::BadAnswer => {
                Self::new(StatusCode::BAD_GATEWAY, "the backend's response is not valid HTTP", ErrorReason::BadAnswer)
            }
        }
    }

    /// The auth upstream said no, with this status and without a body of its own.
    pub const fn denied(status: StatusCode) -> Self {
        Self::new(status, "this request is not allowed", ErrorReason::AuthDenied)
    }

    /// 503: nobody could be asked whether the request is allowed.
    pub const fn auth_unavailable() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, UNDECIDED, ErrorReason::AuthUnavailable)
    }

    /// What the last backend of the auth upstream did: 503 where it could not be reached, 504 where it took too long, 502
    /// for the rest. nginx answers 500 to all of these, and no proxy lets such a request through.
    pub const fn auth_failed(failure: Failure) -> Self {
        match failure {
            Failure::Refused | Failure::ConnectTimeout | Failure::ConnectFailed => Self::auth_unavailable(),
            Failure::Timeout => Self::new(StatusCode::GATEWAY_TIMEOUT, UNDECIDED, ErrorReason::AuthTimeout),
            Failure::Reset | Failure::Status(_) | Failure::BadAnswer => {
                Self::new(StatusCode::BAD_GATEWAY, UNDECIDED, ErrorReason::AuthFailed)
            }
        }
    }

    /// 503, for more than the backends can answer.
    pub const fn overloaded() -> Self {
        let detail = "the service is overloaded; try again shortly";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail, ErrorReason::Overload)
    }

    /// Nobody took the request: what the last one did, or 503 where none was tried.
    pub const fn no_backend(last: Option<Failure>, held: bool) -> Self {
        match last {
            // Nobody came up while it waited; what the last one did before is not the cause.
            _ if held => Self::new(StatusCode::SERVICE_UNAVAILABLE, NOBODY, ErrorReason::HoldTimeout),
            None => Self::new(StatusCode::SERVICE_UNAVAILABLE, NOBODY, ErrorReason::NoBackend),
            Some(Failure::Timeout | Failure::ConnectTimeout) => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, TIMEOUT, ErrorReason::Timeout)
            }
            Some(_) => Self::new(StatusCode::BAD_GATEWAY, "the backend failed", ErrorReason::BadAnswer),
        }
    }
}
