//! Which route a request is for. Pure: host and path in, route out.

mod normal;
mod table;

pub use normal::{NotNormal, normal_path, unresolved_path};
pub use table::RouteTable;
