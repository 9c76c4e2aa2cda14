//! What is to be done with a request, the same for both lanes: its route, what it is refused with, what the backend is
//! asked, whether a failure is tried again. Pure but for the upstream's counters.

mod attempts;
mod own_response;
mod refusal;
mod request;

pub use attempts::{Attempts, Next, Others, Outcome, is_idempotent};
pub use own_response::{Denial, OwnResponse, Reader};
pub use refusal::{Refusal, UNREADABLE};
pub use request::{Asked, body_limit, find_route, request_id, stripped};
