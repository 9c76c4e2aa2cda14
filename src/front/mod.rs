//! The front door: the sockets, bound before anything else starts, and each client's connection from its first byte on.
//! Heads are read here, strictly and under deadlines; then each request takes its lane.

mod door;
mod frames;
mod guard;
mod http2;
mod listen;
mod pingora_stream;
mod reception;
mod stream_deadline;
mod tap;
pub mod tls;
mod worker;

pub use guard::Guard;
pub use listen::{BindError, Bound, Endpoint, bind};
pub use reception::start;
pub use worker::WorkerShared;
