//! What a database's first answer means. Pure: bytes in, a verdict out.
//!
//! An error is an answer: it comes from a server that lives. Three kinds of it are no sickness. The edge is not let in: its
//! address, user or password is refused, which says nothing about others, so the check passes. The server starts, recovers
//! or stops, or it is full: nobody is served, so the check fails, and yet a heal would only set it back.

use crate::config::model::Protocol;

use super::probe_result::{ProbeFailure, ProbeResult, ServerWords};

/// MySQL's errors of a server that is full: too many connections in all, of a user, or of a time.
const MYSQL_FULL: [u16; 3] = [1040, 1203, 1226];
/// Of a server that stops: shutdown in progress, normal and forced.
const MYSQL_STOPS: [u16; 4] = [1053, 1077, 1079, 1080];
/// Of one that does not let this client in: no name for its address, no access, a host that is blocked or not allowed.
const MYSQL_REFUSES: [u16; 7] = [1042, 1044, 1045, 1129, 1130, 1251, 1698];

/// An ERR packet of MySQL's without its header and first byte: a code, perhaps a state as `#08004`, and a text.
pub(super) fn of_mysql(error: &[u8]) -> ProbeResult {
    let Some((code, text)) = error.split_first_chunk::<2>() else {
        return Err(ProbeFailure::Foreign(Protocol::Mysql));
    };
    let text = match text {
        [b'#', state @ ..] => state.get(5..).unwrap_or_default(),
        text => text,
    };
    let (code, words) = (u16::from_le_bytes(*code), ServerWords::of(text));
    if MYSQL_REFUSES.contains(&code) {
        return Ok(Some(words));
    }
    let is_unready = MYSQL_FULL.contains(&code) || MYSQL_STOPS.contains(&code);
    Err(if is_unready { ProbeFailure::Unready(words) } else { ProbeFailure::Sick(words) })
}

/// The fields of PostgreSQL's ErrorResponse: each a letter and a text that ends in a zero.
///
/// `logged_in`: nothing was asked for, and the role or database that was named does not exist, which is all right.
pub(super) fn of_postgres(fields: &[u8], logged_in: bool) -> ProbeResult {
    let field = |letter: u8| {
        let mut fields = fields.split(|&byte| byte == 0);
        fields.find_map(|field| field.split_first().filter(|(first, _)| **first == letter)).map(|(_, text)| text)
    };
    let (Some(code), Some(message)) = (field(b'C'), field(b'M')) else {
        return Err(ProbeFailure::Foreign(Protocol::Postgres));
    };
    let words = ServerWords::of(message);
    match code {
        // Operator intervention: it starts, recovers or stops.
        [b'5', b'7', b'P', ..] | b"53300" => Err(ProbeFailure::Unready(words)),
        // PgBouncer words it so where it is full.
        b"08P01" if message.starts_with(b"no more connections") => Err(ProbeFailure::Unready(words)),
        [b'2', b'8', ..] | [b'3', b'D', ..] if logged_in => Ok(None),
        // Authorization, an unknown database, one that takes nobody, and what PgBouncer says of an unknown user.
        [b'2', b'8', ..] | [b'3', b'D', ..] | b"55000" | b"08P01" | b"0A000" => Ok(Some(words)),
        _ => Err(ProbeFailure::Sick(words)),
    }
}

/// The first line of Redis' answer to PING.
pub(super) fn of_redis(line: &[u8]) -> ProbeResult {
    let error = match line {
        [b'+', b'P', b'O', b'N', b'G', ..] => return Ok(None),
        [b'-', error @ ..] => error,
        _ => return Err(ProbeFailure::Foreign(Protocol::Redis)),
    };
    let words = ServerWords::of(error);
    let kind = error.split(|byte| byte.is_ascii_whitespace()).next().unwrap_or_default();
    match kind {
        b"NOAUTH" | b"DENIED" | b"NOPERM" | b"WRONGPASS" => Ok(Some(words)),
        b"ERR" if error.starts_with(b"ERR operation not permitted") => Ok(Some(words)),
        b"ERR" if error.starts_with(b"ERR max number of clients") => Err(ProbeFailure::Unready(words)),
        // MISCONF: it cannot write to its disk, and what it holds in memory would be lost.
        b"LOADING" | b"MASTERDOWN" | b"MISCONF" => Err(ProbeFailure::Unready(words)),
        _ => Err(ProbeFailure::Sick(words)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `up`, `up: words`, `unready: words`, `sick: words` or `foreign`.
    fn word(result: ProbeResult) -> String {
        match result {
            Ok(None) => "up".into(),
            Ok(Some(words)) => format!("up: {words}"),
            Err(ProbeFailure::Unready(words)) => format!("unready: {words}"),
            Err(ProbeFailure::Sick(words)) => format!("sick: {words}"),
            Err(ProbeFailure::Foreign(_)) => "foreign".into(),
            Err(ProbeFailure::Failed(failure)) => failure.to_string(),
        }
    }

    #[test]
    fn errors_of_mysql() {
        #[rustfmt::skip]
        let rows = [
            (1040, "Too many connections",                            "unready: Too many connections"),
            (1040, "#08004Too many connections",                      "unready: Too many connections"),
            (1203, "#42000User has already more than 5 connections",  "unready: User has already more than 5 connections"),
            (1053, "#08S01Server shutdown in progress",               "unready: Server shutdown in progress"),
            (1129, "Host 'edge' is blocked because of many errors",   "up: Host 'edge' is blocked because of many errors"),
            (1130, "Host '172.18.0.5' is not allowed to connect",     "up: Host '172.18.0.5' is not allowed to connect"),
            (1045, "#28000Access denied for user ''@'edge'",          "up: Access denied for user ''@'edge'"),
            (1135, "Can't create a new thread (errno 11)",            "sick: Can't create a new thread (errno 11)"),
            (1041, "#HY0",                                            "sick: an error without words"),
        ];
        for (code, text, expected) in rows {
            let error = [&u16::to_le_bytes(code)[..], text.as_bytes()].concat();
            assert_eq!(word(of_mysql(&error)), expected);
        }
        assert_eq!(word(of_mysql(b"x")), "foreign");
    }

    #[test]
    fn errors_of_postgres() {
        #[rustfmt::skip]
        let rows = [
            ("57P03", "the database system is starting up",      false, "unready: the database system is starting up"),
            ("57P03", "the database system is in recovery mode", false, "unready: the database system is in recovery mode"),
            ("57P03", "the database system is shutting down",    false, "unready: the database system is shutting down"),
            ("57P01", "terminating connection",                  false, "unready: terminating connection"),
            ("53300", "sorry, too many clients already",         false, "unready: sorry, too many clients already"),
            ("53300", "too many connections for role",           true,  "unready: too many connections for role"),
            ("08P01", "no more connections allowed",             false, "unready: no more connections allowed"),
            ("08P01", "no such user: remora",                    false, "up: no such user: remora"),
            ("28000", "no pg_hba.conf entry for host",           false, "up: no pg_hba.conf entry for host"),
            ("28P01", "password authentication failed",          false, "up: password authentication failed"),
            ("28000", "role \"remora\" does not exist",          true,  "up"),
            ("3D000", "database \"remora\" does not exist",      true,  "up"),
            ("53200", "out of memory",                           false, "sick: out of memory"),
            ("XX000", "could not open file",                     true,  "sick: could not open file"),
        ];
        for (code, message, logged_in, expected) in rows {
            let fields = format!("SFATAL\0VFATAL\0C{code}\0M{message}\0Fpostmaster.c\0L2321\0\0");
            assert_eq!(word(of_postgres(fields.as_bytes(), logged_in)), expected);
        }
        assert_eq!(word(of_postgres(b"Mcould not fork\0\0", false)), "foreign");
    }

    #[test]
    fn answers_of_redis() {
        #[rustfmt::skip]
        let rows = [
            ("+PONG",                                            "up"),
            ("-NOAUTH Authentication required.",                 "up: NOAUTH Authentication required."),
            ("-DENIED Redis is running in protected mode",       "up: DENIED Redis is running in protected mode"),
            ("-NOPERM this user has no permissions",             "up: NOPERM this user has no permissions"),
            ("-ERR operation not permitted",                     "up: ERR operation not permitted"),
            ("-ERR max number of clients reached",               "unready: ERR max number of clients reached"),
            ("-LOADING Redis is loading the dataset in memory",  "unready: LOADING Redis is loading the dataset in memory"),
            ("-MASTERDOWN Link with MASTER is down",             "unready: MASTERDOWN Link with MASTER is down"),
            ("-MISCONF Redis is configured to save",             "unready: MISCONF Redis is configured to save"),
            ("-BUSY Redis is busy running a script",             "sick: BUSY Redis is busy running a script"),
            ("HTTP/1.1 400 Bad Request",                         "foreign"),
            ("",                                                 "foreign"),
        ];
        for (line, expected) in rows {
            assert_eq!(word(of_redis(line.as_bytes())), expected);
        }
    }
}
