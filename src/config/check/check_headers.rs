//! Headers that a check sends.

use http::{HeaderName, HeaderValue};

use super::super::problem::{Problem, Problems};
use super::super::read::{Form, Item, text};
use super::super::words::quoted;
use super::leaf::all;

const FORM: &str = "a map such as `{ Authorization: \"Bearer ${TOKEN}\" }`";
/// What frames the request or says what becomes of its connection is the check's own.
const OWN: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Every header with its value; a value may be a secret and is marked as one.
pub(super) fn headers(item: &Item, problems: &mut Problems) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let Form::Map = item.form() else { return item.wrong_form(FORM, problems) };
    let mut seen: Vec<HeaderName> = Vec::new();
    let headers = item.entries().into_iter().map(|(written, item)| {
        let name = name_of(&written, &item, problems)?;
        if seen.contains(&name) {
            let problem = Problem::new(&item.place.of_key(), format!("{} is set twice", quoted(&written)));
            return problems.add(problem.help("header names do not tell capitals apart; remove one of them"));
        }
        seen.push(name.clone());
        let text = text(&item, problems)?;
        let Ok(mut value) = HeaderValue::from_str(text.trim()) else {
            let problem = Problem::new(&item.place, format!("the value of {} cannot be sent", quoted(&written)));
            return problems.add(problem.help("a header is one line of ASCII"));
        };
        value.set_sensitive(true);
        Some((name, value))
    });
    all(headers.collect())
}

fn name_of(written: &str, item: &Item, problems: &mut Problems) -> Option<HeaderName> {
    let place = item.place.of_key();
    let Ok(name) = HeaderName::from_bytes(written.as_bytes()) else {
        let problem = Problem::new(&place, format!("{} is not a header name", quoted(written)));
        return problems.add(problem.help("write a name such as `Authorization` or `X-Api-Key`"));
    };
    if name == "host" {
        let problem = Problem::new(&place, "`Host` has a key of its own");
        return problems.add(problem.help("write it as `host` beside `headers`"));
    }
    if OWN.contains(&name.as_str()) {
        let problem = Problem::new(&place, format!("a check sets {} itself", quoted(written)));
        return problems.add(problem.help("remove it"));
    }
    Some(name)
}
