//! Strict HTTP/1.1 on the wire (RFC 9112). Pure: bytes in, spans and verdicts out. What two parsers could read in two ways is refused.

mod check;
mod chunked;
mod fields;
mod of_proxy;
mod request;
mod response;
mod scan;
mod translate;

pub use chunked::{BadChunk, Chunked, ChunkedForm, LAST_CHUNK, Rewritten};
pub use fields::{Field, Fields, Known, Span, is_token_in_list};
pub use of_proxy::is_of_proxy;
pub use request::{Framing, RequestHead, RequestView, Version};
pub use response::{BadAnswer, ResponseFraming, ResponseHead, ResponseView};
pub use scan::{BadHead, HeadLimits, Scan};
