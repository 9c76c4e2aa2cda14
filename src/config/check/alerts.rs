//! Who is told of alerts and heals. Never shows a webhook's URL, which is often a secret.

use http::Uri;

use super::super::model::{AlertFormat, AlertSpec};
use super::super::problem::{Problem, Problems};
use super::super::raw::RawAlerts;
use super::super::read::{Form, Item, choice, field, open, text};
use super::leaf::required;

const FORMS: &str = "a webhook's URL, `off`, or `{ webhook: https://..., format: json }`";
const FORMATS: [(&str, AlertFormat); 3] =
    [("json", AlertFormat::Json), ("slack", AlertFormat::Slack), ("discord", AlertFormat::Discord)];

/// `older` is `journal.webhook`, where the URL stood first.
pub(super) fn alerts(item: Option<Item>, older: Option<Item>, problems: &mut Problems) -> Option<Option<AlertSpec>> {
    match (item, older) {
        (None, None) => Some(None),
        (None, Some(older)) => webhook(&older, problems).map(Some),
        (Some(item), None) => match item.form() {
            Form::Text(text) if text == "off" => Some(None),
            Form::Text(_) => webhook(&item, problems).map(Some),
            Form::Map => long(&item, problems).map(Some),
            Form::List(_) | Form::Nothing => item.wrong_form(FORMS, problems),
        },
        (Some(item), Some(older)) => {
            let problem = Problem::new(&older.place, "`alerts` names a webhook too");
            problems.add(problem.other("the other one", &item.place).help("remove `webhook` from `journal`"))
        }
    }
}

fn long(item: &Item, problems: &mut Problems) -> Option<AlertSpec> {
    let mut raw: RawAlerts = open(item, FORMS, problems)?;
    let written = required(field!(raw.webhook, item), "webhook", item, "`webhook: https://...`", problems);
    let spec = written.and_then(|written| webhook(&written, problems));
    let format = field!(raw.format, item).map_or(Some(None), |item| choice(&item, &FORMATS, problems).map(Some));
    let (spec, format) = (spec?, format?);
    Some(AlertSpec { format: format.unwrap_or(spec.format), ..spec })
}

fn webhook(item: &Item, problems: &mut Problems) -> Option<AlertSpec> {
    let text = text(item, problems)?;
    let mut refuse = |message: &str, help: &str| problems.add(Problem::new(&item.place, message).help(help));
    let example = "give the full URL, such as `https://hooks.example.com/remora`";
    let uri = text.parse::<Uri>().ok().filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
    let Some(uri) = uri else { return refuse("`webhook` is not an HTTP URL", example) };
    let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    if authority.contains('@') {
        let help = "remove the user; put a token into the path or the query, where the receiver takes it";
        return refuse("`webhook` has a user, which would not be sent", help);
    }
    let host = uri.host().unwrap_or_default();
    let port = authority.strip_prefix(host).unwrap_or_default();
    if host.is_empty() || !(port.is_empty() || uri.port_u16().is_some_and(|port| port != 0)) {
        return refuse("`webhook` has no host that can be reached", example);
    }
    let format = usual_format(host, uri.path());
    Some(AlertSpec { webhook: text, format })
}

/// What the receiver takes, as far as its URL says. Discord takes Slack's messages at `/slack`.
fn usual_format(host: &str, path: &str) -> AlertFormat {
    let host = host.to_ascii_lowercase();
    let is = |name: &str| host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
    if is("hooks.slack.com") || is("hooks.slack-gov.com") {
        return AlertFormat::Slack;
    }
    if (is("discord.com") || is("discordapp.com")) && path.starts_with("/api/") {
        return if path.ends_with("/slack") { AlertFormat::Slack } else { AlertFormat::Discord };
    }
    AlertFormat::Json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_that_of_the_host() {
        #[rustfmt::skip]
        let rows = [
            ("hooks.slack.com",     "/services/T/B/x",          AlertFormat::Slack),
            ("HOOKS.slack.com",     "/workflows/x",             AlertFormat::Slack),
            ("discord.com",         "/api/webhooks/1/x",        AlertFormat::Discord),
            ("canary.discord.com",  "/api/v10/webhooks/1/x",    AlertFormat::Discord),
            ("discordapp.com",      "/api/webhooks/1/x/slack",  AlertFormat::Slack),
            ("notdiscord.com",      "/api/webhooks/1/x",        AlertFormat::Json),
            ("discord.com.example", "/api/webhooks/1/x",        AlertFormat::Json),
            ("alerts.internal",     "/remora",                  AlertFormat::Json),
        ];
        for (host, path, expected) in rows {
            assert_eq!(usual_format(host, path), expected, "{host}{path}");
        }
    }
}
