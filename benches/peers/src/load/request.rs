//! The requests that are more than a GET: what `wrk` is told by a script, and `oha` by its arguments.

use std::fmt::Write;

/// Fields that a browser sends beside `Host`; 14 in all with it.
pub const BROWSER_FIELDS: [(&str, &str); 13] = [
    ("Connection", "keep-alive"),
    ("Cache-Control", "max-age=0"),
    ("sec-ch-ua", "\"Chromium\";v=\"142\", \"Google Chrome\";v=\"142\", \"Not_A Brand\";v=\"99\""),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", "\"Linux\""),
    ("Upgrade-Insecure-Requests", "1"),
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    ),
    (
        "Accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7",
    ),
    ("Sec-Fetch-Site", "same-origin"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "en-GB,en-US;q=0.9,en;q=0.8"),
    (
        "Cookie",
        "session=0f4c9b7a2d8e4b61a5c3d7e9f1024b6c; csrftoken=Zk1mW8q3Jt7RbXc2; theme=dark; _ga=GA1.1.1718193021.1764300000",
    ),
];
/// Bytes of a small POST's body.
pub const POST_BYTES: usize = 200;
/// 1 MiB with each request.
pub const UPLOAD_SCRIPT: &str = "wrk.method = 'POST'\nwrk.body = string.rep('x', 1048576)\n";

/// An object of `POST_BYTES` bytes.
pub fn post_body() -> String {
    let (start, end) = ("{\"id\":7,\"name\":\"", "\"}");
    format!("{start}{}{end}", "x".repeat(POST_BYTES - start.len() - end.len()))
}

/// What makes `wrk` send `post_body`.
pub fn post_script() -> String {
    format!("wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\nwrk.body = [[{}]]\n", post_body())
}

/// What makes `wrk` send `BROWSER_FIELDS`.
pub fn browser_script() -> String {
    BROWSER_FIELDS.iter().fold(String::new(), |mut script, (name, value)| {
        let _ = writeln!(script, "wrk.headers['{name}'] = [[{value}]]");
        script
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_post_is_as_long_as_it_says() {
        assert_eq!(post_body().len(), POST_BYTES);
        assert!(serde_json::from_str::<serde_json::Value>(&post_body()).is_ok());
    }
}
