//! The parsers as the library has them, for the fuzz targets.

#[path = "../../src/http1/mod.rs"]
pub mod http1;
