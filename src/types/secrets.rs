//! What in a text may be a secret, and the text without it. Knows shapes, not values: better too much than too little.

/// What stands for a secret.
pub const HIDDEN: &str = "***";
/// Parts of names whose values are secrets.
const SECRET_NAMES: [&str; 14] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "api_key",
    "apikey",
    "api-key",
    "credential",
    "authorization",
    "cookie",
    "signature",
    "private_key",
];
/// Words before a secret in `Authorization` (RFC 9110, section 11.1).
const SCHEMES: [&str; 3] = ["bearer", "basic", "digest"];
/// Letters and digits in a row that no name has.
const RANDOM_LEAST: usize = 20;

/// A value without the user and password of a URL in it, or of `user:password@host`.
pub fn without_user(text: &str) -> String {
    users_replaced(text, |_| HIDDEN.to_owned())
}

/// The same, with as many characters as before.
pub fn with_user_covered(text: &str) -> String {
    users_replaced(text, |user| "*".repeat(user.chars().count()))
}

/// A password in a URL may hold anything, so it ends at the last `@`, where there is a scheme before it.
fn users_replaced(text: &str, replace: impl Fn(&str) -> String) -> String {
    let of_url = text.rfind('@').and_then(|end| {
        let start = text[..end].find("://")? + 3;
        (start < end).then_some((start, end))
    });
    match of_url {
        Some((start, end)) => {
            let (before, user, after) = (&text[..start], &text[start..end], &text[end..]);
            format!(
                "{}{}{}",
                bare_users_replaced(before, &replace),
                replace(user),
                bare_users_replaced(after, &replace)
            )
        }
        None => bare_users_replaced(text, &replace),
    }
}

/// `user:password@host`, without a scheme.
fn bare_users_replaced(text: &str, replace: &impl Fn(&str) -> String) -> String {
    let is_between = |c: char| c.is_whitespace() || "\"'`,;=([{<".contains(c);
    text.split_inclusive(is_between)
        .map(|piece| match piece.rfind('@') {
            Some(end) if piece[..end].contains(':') => format!("{}{}", replace(&piece[..end]), &piece[end..]),
            _ => piece.to_owned(),
        })
        .collect()
}

/// A message that shows values in backticks, without the users of URLs in them, or elsewhere in it.
pub fn message_without_users(text: &str) -> String {
    let quoted = text
        .split('`')
        .enumerate()
        .map(|(index, piece)| if index % 2 == 1 { without_user(piece) } else { by_words(piece, without_user) });
    quoted.collect::<Vec<_>>().join("`")
}

/// One line of a log, a status or a file without anything that looks like a secret.
pub fn line_without_secrets(line: &str) -> String {
    let (line, rest) = before_secret(line);
    let mut is_next = false;
    let shown = by_words(line, |word| {
        let lower = word.to_ascii_lowercase();
        if std::mem::replace(&mut is_next, SCHEMES.contains(&lower.as_str())) {
            return HIDDEN.to_owned();
        }
        without_random(&without_query(&without_user(word)))
    });
    if rest && !shown.ends_with(HIDDEN) { format!("{shown}{HIDDEN}") } else { shown }
}

/// Changes what stands between blanks, quotes and backticks, which stay.
fn by_words(text: &str, mut change: impl FnMut(&str) -> String) -> String {
    let mut shown = String::with_capacity(text.len());
    let is_between = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`');
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = !is_between(first);
        let end = rest.find(|c: char| is_between(c) == is_word).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        if is_word {
            shown.push_str(&change(piece));
        } else {
            shown.push_str(piece);
        }
        rest = after;
    }
    shown
}

/// The line up to the value of a name whose value is a secret, and whether there is one: `--password x`, `"token": "x"`,
/// `DB_PASSWORD=x`.
fn before_secret(line: &str) -> (&str, bool) {
    let lower = line.to_ascii_lowercase();
    let found = SECRET_NAMES.iter().flat_map(|name| lower.match_indices(name).map(|(at, name)| (at, at + name.len())));
    let value = |(at, end): (usize, usize)| {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let end = end + lower[end..].find(|c| !is_name(c)).unwrap_or(lower.len() - end);
        let start = lower[..at].rfind(|c| !is_name(c)).map_or(0, |before| before + 1);
        let after = lower[end..].trim_start_matches(['"', '\'', '`', ' ']);
        let is_flag = lower[start..].starts_with("--") && lower[end..].starts_with(' ');
        let value = lower.len() - after.len();
        if let Some(after) = after.strip_prefix([':', '=']) {
            // Where nothing follows, it is a map or a sentence.
            return (!after.trim().is_empty()).then_some(value + 1);
        }
        is_flag.then_some(end + 1)
    };
    match found.filter_map(value).min() {
        // Lower case has the same length in ASCII; elsewhere nothing is split.
        Some(at) if line.len() == lower.len() && line.is_char_boundary(at) => (&line[..at], true),
        Some(_) => ("", true),
        None => (line, false),
    }
}

/// A query often holds a token.
fn without_query(word: &str) -> String {
    match word.split_once('?') {
        Some((path, query)) if query.contains('=') => format!("{path}?{HIDDEN}"),
        _ => word.to_owned(),
    }
}

/// Without hashes of passwords, keys and tokens: what is long and has letters and digits in a row.
fn without_random(word: &str) -> String {
    if word.matches('$').count() >= 2 && !word.contains("${") {
        return HIDDEN.to_owned();
    }
    let is_run = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '=');
    let mut shown = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| is_run(c) != is_run(first)).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        let count = |is: fn(&char) -> bool| piece.chars().filter(is).count();
        let is_random = is_run(first)
            && RANDOM_LEAST <= piece.len()
            && 3 <= count(char::is_ascii_digit)
            && 3 <= count(char::is_ascii_alphabetic);
        shown.push_str(if is_random { HIDDEN } else { piece });
        rest = after;
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_of_urls_are_hidden() {
        #[rustfmt::skip]
        let rows = [
            ("http://root:s3cret@db:3306/x",    "http://***@db:3306/x"),
            ("postgres://u:p/w?@x@db",          "postgres://***@db"),
            ("http://u:p w@db, b:80",           "http://***@db, b:80"),
            ("root:s3cret@db:3306",             "***@db:3306"),
            ("servers: [root:s3cret@db:3306]",  "servers: [***@db:3306]"),
            ("[u:s3cret@b:80, http://u:p@c]",   "[***@b:80, http://***@c]"),
            ("{ /: a:80, /@x: b }",             "{ /: a:80, /@x: b }"),
            ("http://db:3306",                  "http://db:3306"),
            ("a@b.example",                     "a@b.example"),
            ("backend:8000",                    "backend:8000"),
        ];
        for (text, expected) in rows {
            assert_eq!(without_user(text), expected);
            assert_eq!(with_user_covered(text).chars().count(), text.chars().count());
            assert!(!with_user_covered(text).contains("s3cret"));
        }
        assert_eq!(
            message_without_users("`http://u:p w@db` is a URL; write `db:80` (not root:x@db)"),
            "`http://***@db` is a URL; write `db:80` (not ***@db)"
        );
    }

    #[test]
    fn what_looks_like_a_secret_is_hidden_and_the_rest_is_not() {
        #[rustfmt::skip]
        let rows = [
            ("GET /x?token=abc HTTP/1.1",                     "GET /x?***"),
            ("GET /x?page=7 answered",                        "GET /x?*** answered"),
            ("DB_PASSWORD=hunter2 and more",                  "DB_PASSWORD=***"),
            ("  \"api_token\": \"hunter2\",",                 "  \"api_token\":***"),
            ("Authorization: Bearer hunter2",                 "Authorization:***"),
            ("got Bearer hunter2 here",                       "got Bearer *** here"),
            ("mysqladmin --password hunter2 ping",            "mysqladmin --password ***"),
            ("user $2y$10$abcdefghijklmnop here",             "user *** here"),
            ("key AKIA1234567890ABCDEFGHIJ",                  "key ***"),
            ("${DB_PASSWORD:-hunter2}",                       "${DB_PASSWORD:***"),
            ("password authentication failed for user x",     "password authentication failed for user x"),
            ("remora-test-stack-backend-1 10.0.0.1:8000",     "remora-test-stack-backend-1 10.0.0.1:8000"),
            ("2026-11-28T19:02:26.282Z INFO upstream: up",    "2026-11-28T19:02:26.282Z INFO upstream: up"),
            ("kill -HUP $(cat /run/x.pid) ${PIDFILE}",        "kill -HUP $(cat /run/x.pid) ${PIDFILE}"),
            ("auth: { to: users, path: /verify }",            "auth: { to: users, path: /verify }"),
        ];
        for (line, expected) in rows {
            assert_eq!(line_without_secrets(line), expected, "{line}");
        }
    }
}
