//! What a route does to a request before and to an answer after the backend. Pure: heads in, verdicts and edits out.

mod auth;
mod cors;
mod forwarded;

pub use auth::{Ruling, denial_headers, ruling, stays_behind};
pub use cors::{Cors, Preflight};
pub use forwarded::{ClientFacts, Forwarding, is_request_id};
