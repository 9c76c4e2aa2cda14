//! What an operator asks of the healer, read from a path and its query.

use std::net::SocketAddr;
use std::time::Duration;

use crate::types::parse_duration;

/// Longest pause that can be asked for.
const PAUSE_MOST: Duration = Duration::from_secs(30 * 24 * 3600);

/// A command for the healer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminCommand {
    /// `POST /heal?upstream=NAME[&backend=ADDRESS]`
    Heal {
        /// The upstream's name.
        upstream: String,
        /// Which backend, sick or not; `None` is all that are sick.
        backend: Option<SocketAddr>,
    },
    /// `POST /reload?upstream=NAME`
    Reload {
        /// The upstream's name.
        upstream: String,
    },
    /// `POST /drill?upstream=NAME`
    Drill {
        /// The upstream's name.
        upstream: String,
    },
    /// `POST /pause?[upstream=NAME&]for=10m`, and `POST /resume?[upstream=NAME]`
    Pause {
        /// The upstream's name; `None` is all of them.
        upstream: Option<String>,
        /// For how long, at most 30 days; `None` ends the pause.
        span: Option<Duration>,
    },
}

/// What the query of a command may say.
#[derive(Debug, Default)]
pub(super) struct Query {
    upstream: Option<String>,
    backend: Option<String>,
    span: Option<String>,
    to: Option<String>,
}

impl Query {
    /// Reads `a=b&c=d` as forms are encoded (WHATWG URL).
    ///
    /// # Errors
    /// With the key that is not known or comes twice.
    pub(super) fn read(text: &str, keys: &[&str]) -> Result<Self, String> {
        let mut query = Self::default();
        for (key, value) in form_urlencoded::parse(text.as_bytes()) {
            let place = match &*key {
                "upstream" => &mut query.upstream,
                "backend" => &mut query.backend,
                "for" => &mut query.span,
                "to" => &mut query.to,
                _ => return Err(unknown(&key, keys)),
            };
            if !keys.contains(&&*key) {
                return Err(unknown(&key, keys));
            }
            if place.replace(value.into_owned()).is_some() {
                return Err(format!("`{key}` is given twice"));
            }
        }
        Ok(query)
    }

    pub(super) fn names_upstream(&self) -> bool {
        self.upstream.is_some()
    }

    pub(super) fn heal(self) -> Result<AdminCommand, String> {
        let address = |text: String| {
            let shown = text.escape_debug().take(64).collect::<String>();
            text.parse().map_err(|_| format!("`{shown}` is not the address of a backend, such as 172.18.0.3:8000"))
        };
        let backend = self.backend.map(address).transpose()?;
        Ok(AdminCommand::Heal { upstream: wanted(self.upstream)?, backend })
    }

    pub(super) fn reload(self) -> Result<AdminCommand, String> {
        Ok(AdminCommand::Reload { upstream: wanted(self.upstream)? })
    }

    /// The entry of the history that is wanted back.
    pub(super) fn rollback(self) -> Result<Option<u64>, String> {
        let number = |text: String| {
            let shown = text.escape_debug().take(64).collect::<String>();
            text.parse().map_err(|_| format!("`{shown}` is not the number of an entry; `remora history` lists them"))
        };
        self.to.map(number).transpose()
    }

    pub(super) fn drill(self) -> Result<AdminCommand, String> {
        Ok(AdminCommand::Drill { upstream: wanted(self.upstream)? })
    }

    pub(super) fn pause(self) -> Result<AdminCommand, String> {
        let text = self.span.ok_or("the duration is missing; add `for=10m`")?;
        let span = parse_duration(&text).map_err(|error| error.to_string())?;
        if span.is_zero() || PAUSE_MOST < span {
            return Err("a pause must be 1 ms to 30 d long".to_owned());
        }
        Ok(AdminCommand::Pause { upstream: self.upstream, span: Some(span) })
    }

    pub(super) fn resume(self) -> AdminCommand {
        AdminCommand::Pause { upstream: self.upstream, span: None }
    }
}

fn wanted(upstream: Option<String>) -> Result<String, String> {
    upstream.ok_or_else(|| "the upstream is missing; add `upstream=NAME`".to_owned())
}

fn unknown(key: &str, keys: &[&str]) -> String {
    let shown: String = key.escape_debug().take(64).collect();
    format!("unknown parameter `{shown}`; the parameters are: {}", keys.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_strictly() {
        let read = |text: &str| Query::read(text, &["upstream", "backend"]).and_then(Query::heal);
        let heal = |backend: Option<&str>| {
            Ok(AdminCommand::Heal { upstream: "api".into(), backend: backend.map(|text| text.parse().unwrap()) })
        };
        assert_eq!(read("upstream=api"), heal(None));
        assert_eq!(read("backend=10.0.0.1%3A80&upstream=api"), heal(Some("10.0.0.1:80")));
        assert_eq!(read("upstream=api&backend=[::1]:80"), heal(Some("[::1]:80")));
        for text in
            ["", "backend=10.0.0.1:80", "upstream=a&upstream=b", "upstream=api&backend=x", "upstream=api&for=1m", "x=y"]
        {
            assert!(read(text).is_err(), "{text}");
        }
        let rollback = |text: &str| Query::read(text, &["to"]).and_then(Query::rollback);
        assert_eq!((rollback(""), rollback("to=7")), (Ok(None), Ok(Some(7))));
        for text in ["to=", "to=-1", "to=x", "to=1&to=2", "upstream=api"] {
            assert!(rollback(text).is_err(), "{text}");
        }
        let pause = |text: &str| Query::read(text, &["upstream", "for"]).and_then(Query::pause);
        let ten = Some(Duration::from_secs(600));
        assert_eq!(pause("for=10m"), Ok(AdminCommand::Pause { upstream: None, span: ten }));
        assert_eq!(pause("for=10m&upstream=api"), Ok(AdminCommand::Pause { upstream: Some("api".into()), span: ten }));
        for text in ["", "for=", "for=10", "for=0s", "for=31d", "for=-1s"] {
            assert!(pause(text).is_err(), "{text}");
        }
    }
}
