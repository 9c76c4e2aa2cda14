//! Where connections come in: the sockets, bound before anything else starts.

mod listen;

pub use listen::{BindError, Bound, bind};
