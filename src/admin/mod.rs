//! What an operator and Prometheus ask of a running edge, over HTTP on a loopback address. Never reachable by a web page.

mod command;
mod guard;
mod listener;
mod routes;
mod source;
pub mod status;

pub use command::AdminCommand;
pub use guard::Access;
pub use listener::{AdminError, AdminListener, bind, serve};
pub use source::AdminSource;
pub use status::Status;
