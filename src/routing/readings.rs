//! The other ways in which services read a path: what one of them may fold away, decode once more, or resolve later.
//!
//! Only for the question whether a spelling leads past a route that asks an auth upstream; routes go by
//! [`normal_path`](super::normal_path) alone. What is folded, and by whom: `;parameters` (Tomcat, Jetty, Spring, Quarkus),
//! `..` and `.` before or after that, empty segments (nginx, Express) or none (most), `%` once, twice or not at all,
//! a backslash, spaces and dots at the end of a segment (Windows), capitals (Express, ASP.NET).

/// Rounds of decoding beyond the path as sent.
const DECODED_MAX: usize = 2;

/// True for a path that some service reads in another way than it is written. Others need no [`readings`].
pub fn may_be_folded(raw: &str) -> bool {
    let mut before = 0;
    for &byte in raw.as_bytes() {
        let pair = matches!((before, byte), (b'/', b'/' | b'.') | (b'.', b'/'));
        if pair || matches!(byte, b'%' | b';' | b'\\' | b' ' | b'A'..=b'Z' | 0x80..) {
            return true;
        }
        before = byte;
    }
    before == b'.'
}

/// Every way in which a service may read a path, each once: starting with `/`, without empty segments, as routes are.
pub fn readings(raw: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut spellings = vec![raw.replace('\\', "/")];
    for round in 0..=DECODED_MAX {
        for at in 0..spellings.len() {
            let cut = without_parameters(&spellings[at]);
            add(&mut spellings, cut);
        }
        for spelling in &spellings {
            for trims in [false, true] {
                add(&mut found, resolved(spelling, Dots::Kept, trims));
                add(&mut found, resolved(spelling, Dots::Resolved, trims));
                add(&mut found, resolved(spelling, Dots::ResolvedUnmerged, trims));
            }
        }
        if round == DECODED_MAX || !spellings.iter().any(|spelling| spelling.contains('%')) {
            break;
        }
        let decoded: Vec<_> = spellings.iter().map(|spelling| decoded(spelling)).collect();
        spellings.clear();
        decoded.into_iter().for_each(|spelling| add(&mut spellings, spelling));
    }
    found
}

/// A path as a service sees it to which capitals are as good as small letters.
pub fn caseless(path: &str) -> String {
    // Upper case first: some letters, such as the long s, have a capital in common with another letter.
    if path.is_ascii() { path.to_ascii_lowercase() } else { path.to_uppercase().to_lowercase() }
}

/// What becomes of `.` and `..`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dots {
    /// `..` is a name like others.
    Kept,
    /// `..` takes away the segment before it.
    Resolved,
    /// The same, where an empty segment is one too.
    ResolvedUnmerged,
}

fn add(list: &mut Vec<String>, text: String) {
    if !list.contains(&text) {
        list.push(text);
    }
}

/// Without what follows `;` in each segment, and without everything after what would begin a query or end a C string.
fn without_parameters(path: &str) -> String {
    let end = path.find(['?', '#', '\0']).unwrap_or(path.len());
    let segments = path[..end].split('/').map(|segment| segment.split(';').next().unwrap_or_default());
    segments.collect::<Vec<_>>().join("/")
}

fn resolved(path: &str, dots: Dots, trims: bool) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
        match if trims { trimmed(segment) } else { segment } {
            "." => {}
            "" if dots != Dots::ResolvedUnmerged => {}
            ".." if dots != Dots::Kept => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    let kept = segments.iter().filter(|segment| !segment.is_empty());
    let path = kept.fold(String::with_capacity(path.len() + 1), |path, segment| path + "/" + segment);
    if path.is_empty() { "/".into() } else { path }
}

/// Without the spaces around it and the dots behind it, where it is more than dots.
fn trimmed(segment: &str) -> &str {
    let segment = segment.trim();
    let name = segment.trim_end_matches([' ', '.']);
    if name.is_empty() { segment } else { name }
}

/// Decoded as far as it is encoded. A backslash that appears is a slash.
fn decoded(path: &str) -> String {
    percent_encoding::percent_decode_str(path).decode_utf8_lossy().replace('\\', "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_may_fold_is_among_the_readings() {
        #[rustfmt::skip]
        let rows = [
            // sent                        a service may read
            ("/admin",                     "/admin"),
            ("/admin;x=1",                 "/admin"),
            ("/admin;/x",                  "/admin/x"),
            ("/;/admin",                   "/admin"),
            ("/;a=b/admin/z",              "/admin/z"),
            ("/x/..;/admin",               "/admin"),
            ("/..;/admin/",                "/admin"),
            ("/.;/admin",                  "/admin"),
            ("/x/..;a/;b/admin",           "/admin"),
            ("/admin%3bx/y",               "/admin/y"),
            ("/admin%3Bx",                 "/admin"),
            ("/admin%253bx/y",             "/admin/y"),
            ("/x/%2e%2e;/admin",           "/admin"),
            ("/x/%2e%2e%3b/admin",         "/admin"),
            ("/x/..%3b%2fadmin",           "/admin"),
            ("/p;%2fq/..;/admin",          "/admin"),      // parameters go before `%2f` is decoded
            ("/p;/q/..;/..;/admin",        "/admin"),
            ("/x/%252e%252e/admin",        "/admin"),
            ("/x%252f..%252fadmin",        "/x/../admin"),
            ("/x/..%5cadmin",              "/admin"),
            ("/x/..%255cadmin",            "/admin"),
            ("/%2561dmin",                 "/admin"),
            ("/admin/x//../..",            "/admin"),      // where empty segments count
            ("/admin/x//../..",            "/"),           // where they do not
            ("/admin/../x",                "/admin/../x"), // where dots are names
            ("/a/../../admin",             "/admin"),
            ("/admin%20",                  "/admin"),
            ("/admin./x",                  "/admin/x"),
            ("/x/..%20/admin",             "/admin"),
            ("/admin%3fx",                 "/admin"),
            ("/admin%23",                  "/admin"),
            ("/admin%2500.css",            "/admin"),
            ("/100%/admin",                "/100%/admin"),
        ];
        for (sent, read) in rows {
            let found = readings(sent);
            assert!(found.iter().any(|reading| reading == read), "{sent}: {read} is not among {found:?}");
            assert!(sent == read || may_be_folded(sent), "{sent}");
        }
    }

    #[test]
    fn a_plain_path_is_read_in_one_way() {
        for path in ["/", "/admin", "/api/v1/orders/17", "/a.b/c-d_e~f", "/@x/y=z,1+2", "/v1.2/x:y"] {
            assert!(!may_be_folded(path), "{path}");
            assert_eq!(readings(path), [path]);
            assert_eq!(caseless(path), path);
        }
        for path in ["/Admin", "/admin.", "/a/./b", "//", "/.x", "/caf\u{e9}", "/a\\b"] {
            assert!(may_be_folded(path), "{path}");
        }
        assert_eq!(caseless("/ADMIN/\u{17f}"), "/admin/s");
        assert_eq!(caseless("/\u{212a}ey"), "/key");
    }

    #[test]
    fn a_path_made_to_have_many_readings_has_few() {
        let worst = "/x;%25252f%3b%253b..%20/%2e%2e;/..//./%5C%255cAdmin%3f%2523".repeat(100);
        assert!(readings(&worst).len() <= 84, "{}", readings(&worst).len());
    }
}
