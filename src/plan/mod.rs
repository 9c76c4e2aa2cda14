//! What is to be done with a request, the same for both lanes: its route, what it is refused with, what the backend is
//! asked, whether a failure is tried again. Pure but for the upstream's counters.

mod attempts;
mod own_response;
mod record;
mod refusal;
mod request;
mod walk;

pub use attempts::{Attempts, Next, Others, Outcome, is_idempotent};
pub use own_response::{Denial, OwnResponse, Reader};
pub use record::Record;
pub use refusal::{Refusal, UNREADABLE};
pub use request::{request_id, rewritten};
pub use walk::{Asked, Verdict, Walk};
