//! What the edge itself says: the bodies of its errors.

mod errors;

pub use errors::{ErrorBody, wants_json};
