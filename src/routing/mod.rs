//! Which route a request is for. Pure: host and path in, route out.

mod names;
mod normal;
mod paths;
mod readings;

pub use names::NameTable;
pub use normal::{NotNormal, normal_path};
pub use paths::PathTable;
pub use readings::{caseless, may_be_folded, readings};
