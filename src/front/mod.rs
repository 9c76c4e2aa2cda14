//! Where connections come in: the sockets, bound before anything else starts, and the look at a connection's first bytes.

mod door;
mod listen;

pub use door::Door;
pub use listen::{BindError, Bound, bind};
