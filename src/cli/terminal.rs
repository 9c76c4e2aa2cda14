//! Where commands speak: results on standard output, complaints on standard error, colours only for a person.

use std::io::{self, IsTerminal, Write};

/// Prints a result. A reader that has gone away, as `head` does, is no failure.
pub(super) fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Prints a complaint; there is nowhere to tell when that fails.
pub(super) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", text.trim_end());
}

/// True when a person reads standard output and has not asked for none (`NO_COLOR`).
pub(super) fn stdout_has_colour() -> bool {
    io::stdout().is_terminal() && wants_colour()
}

/// True when a person reads standard error and has not asked for none (`NO_COLOR`).
pub(super) fn stderr_has_colour() -> bool {
    io::stderr().is_terminal() && wants_colour()
}

fn wants_colour() -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !dumb && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// True when the locale says that the terminal shows UTF-8.
pub(super) fn has_utf8() -> bool {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    locale_is_utf8(["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).as_deref())
}

fn locale_is_utf8(locale: Option<&str>) -> bool {
    locale.is_some_and(|locale| {
        let lower = locale.to_ascii_lowercase();
        lower.contains("utf-8") || lower.contains("utf8")
    })
}

/// Columns to fill: `COLUMNS` from 60 to 200, else 100.
pub(super) fn width() -> u16 {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    columns.filter(|columns| (60..=200).contains(columns)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_decides_on_utf8() {
        #[rustfmt::skip]
        let rows = [(Some("en_GB.UTF-8"), true), (Some("C.utf8"), true), (Some("C"), false), (Some("de_DE@euro"), false), (None, false)];
        for (locale, utf8) in rows {
            assert_eq!(locale_is_utf8(locale), utf8, "{locale:?}");
        }
    }
}
