//! Strict HTTP/1.1 on the wire (RFC 9112). Pure: bytes in, spans and verdicts out. What two parsers could read in two ways is refused.

mod chunked;
mod fields;
mod request;
mod response;

pub use chunked::{BadChunk, Chunked, Form, Rewritten};
pub use fields::{Field, Fields, Known, Span, is_token_in_list};
pub use request::{BadHead, Framing, HeadLimits, RequestHead, RequestView, Scan, Version};
pub use response::{BadAnswer, ResponseFraming, ResponseHead, ResponseView};
