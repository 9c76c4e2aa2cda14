//! What is to be done with a request, the same for both lanes: its route, what it is refused with, what the backend is
//! asked, whether a failure is tried again. Pure but for the upstream's counters.

mod answer;
mod refusal;
mod request;
mod retry;

pub use answer::{Denial, ErrorAnswer};
pub use refusal::{Refusal, UNREADABLE};
pub use request::{Asked, body_limit, find_route, request_id, stripped};
pub use retry::{is_idempotent, is_wanted, may_go_on, may_leave};
