//! Bodies of the edge's own errors: JSON for programs, HTML for people. They tell nothing of the network behind.

use bytes::Bytes;
use http::StatusCode;

use crate::config::model::ErrorFormat;

/// A body and its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorBody {
    /// For `Content-Type`.
    pub content_type: &'static str,
    /// Complete; never empty.
    pub bytes: Bytes,
}

impl ErrorBody {
    /// The body for a status; `request_id` lets a reader find the log line.
    pub fn new(status: StatusCode, detail: &str, request_id: &str, json: bool) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        if json {
            let body = serde_json::json!({
                "error": { "status": status.as_u16(), "title": title, "detail": detail, "request_id": request_id }
            });
            return Self { content_type: "application/json", bytes: format!("{body}\n").into() };
        }
        let (code, detail, request_id) = (status.as_u16(), escape(detail), escape(request_id));
        let page = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{code} {title}</title>\
             <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:18vh auto;padding:0 1rem;\
             color:#222;background:#fff}}h1{{font-size:1.4rem;margin:0}}small{{color:#777}}\
             @media(prefers-color-scheme:dark){{body{{color:#ddd;background:#16181b}}}}</style></head>\n\
             <body><h1>{code} {title}</h1><p>{detail}</p><p><small>Request {request_id}</small></p></body></html>\n"
        );
        Self { content_type: "text/html; charset=utf-8", bytes: page.into() }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Whether an error goes out as JSON: where the route says so, or the client accepts JSON and does not ask for HTML.
pub fn wants_json(format: ErrorFormat, accept: Option<&str>) -> bool {
    match format {
        ErrorFormat::Json => true,
        ErrorFormat::Html => false,
        ErrorFormat::Auto => {
            let accept = accept.unwrap_or_default().to_ascii_lowercase();
            let json = accept.contains("application/json") || accept.contains("+json");
            json && !accept.contains("text/html")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_get_json_and_people_html() {
        #[rustfmt::skip]
        let rows = [
            (ErrorFormat::Auto, None,                                    false),
            (ErrorFormat::Auto, Some("*/*"),                             false),
            (ErrorFormat::Auto, Some("application/json"),                true),
            (ErrorFormat::Auto, Some("application/problem+json, */*"),   true),
            (ErrorFormat::Auto, Some("text/html,application/json;q=.9"), false),
            (ErrorFormat::Json, Some("text/html"),                       true),
            (ErrorFormat::Html, Some("application/json"),                false),
        ];
        for (format, accept, json) in rows {
            assert_eq!(wants_json(format, accept), json, "{format:?} {accept:?}");
        }
    }

    #[test]
    fn nothing_breaks_out_of_the_page() {
        let body = ErrorBody::new(StatusCode::BAD_REQUEST, "<script>", "\"x", false);
        let text = String::from_utf8(body.bytes.to_vec()).unwrap();
        assert!(text.contains("&lt;script&gt;") && !text.contains("<script>"));
    }
}
