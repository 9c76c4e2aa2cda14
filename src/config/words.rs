//! Words for messages: what a user wrote, shown so that no terminal obeys it, and what could have been meant.

use crate::types::without_user;

/// A user's text for a message: short, in backticks, with nothing that a terminal would obey.
pub(super) fn quoted(text: &str) -> String {
    format!("`{}`", plain(text))
}

/// A user's text without backticks, short, without the password of a URL, and with nothing that a terminal would obey.
pub(super) fn plain(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut shown = String::new();
    for (count, c) in without_user(text).chars().enumerate() {
        if count == LONGEST {
            shown.push('…');
            break;
        }
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The name nearest to what was written, if one is near enough to be meant.
pub(super) fn nearest<'n>(written: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let written = written.to_ascii_lowercase();
    let allowed = match written.chars().count() {
        // Every letter is one step from every other.
        0 | 1 => 0,
        count => (count / 3).max(1),
    };
    let mut best: Option<(usize, &str)> = None;
    for name in names {
        let lower = name.to_ascii_lowercase();
        let mut distance = strsim::damerau_levenshtein(&written, &lower);
        let contained = 3 <= lower.len() && written.contains(&lower) || 3 <= written.len() && lower.contains(&written);
        if allowed < distance && contained {
            distance = allowed;
        }
        if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, name));
        }
    }
    best.map(|(_, name)| name)
}

/// `a`, `b` or `c`.
pub(super) fn listed<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["servers", "check", "heal", "timeouts", "database"];
        #[rustfmt::skip]
        let rows = [
            ("server", Some("servers")), ("chekc", Some("check")), ("Heal", Some("heal")), ("timeout", Some("timeouts")),
            ("databse", Some("database")), ("healthcheck", Some("check")), ("zzz", None), ("x", None), ("", None),
        ];
        for (written, expected) in rows {
            assert_eq!(nearest(written, names), expected, "{written}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_not_shown() {
        assert_eq!(quoted("http://root:s3cret@db:3306"), "`http://***@db:3306`");
    }

    #[test]
    fn user_text_cannot_move_the_cursor() {
        assert_eq!(quoted("a\u{1b}[31mb\n"), "`a\\u{1b}[31mb\\n`");
        assert!(plain(&"x".repeat(500)).chars().count() <= 81);
    }
}
