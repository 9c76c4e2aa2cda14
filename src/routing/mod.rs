//! Which route a request is for. Pure: host and path in, route out.

mod normal;
mod readings;
mod table;

pub use normal::{NotNormal, normal_path};
pub use readings::{caseless, may_be_folded, readings};
pub use table::RouteTable;
