//! What is posted, in the shape that its receiver takes. Nothing that another wrote can mention anybody there, or stand as
//! a link or as a second message.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use crate::config::model::AlertFormat;
use crate::telemetry::{one_line, rfc3339};

use super::condition::Alert;

/// Most characters of a Discord message's `content`.
const DISCORD_MAX: usize = 2_000;
/// Most characters of a Slack message's `text` that are shown whole.
const SLACK_MAX: usize = 4_000;
/// Discord's message flag that shows no preview of a link.
const SUPPRESS_EMBEDS: u32 = 1 << 2;

/// One message.
#[derive(Debug)]
pub(super) struct Notice {
    event: &'static str,
    text: String,
    at: SystemTime,
    fields: Map<String, Value>,
}

impl Notice {
    pub(super) fn of_alert(alert: &Alert) -> Self {
        let mut notice = Self::new(alert.kind().event(), alert.text(), alert.fields());
        notice.fields.insert("command".into(), alert.command().into());
        notice
    }

    pub(super) fn of_over(alert: &Alert, lasted: Duration) -> Self {
        let mut notice = Self::new("over", alert.over_text(lasted), alert.fields());
        notice.fields.insert("of".into(), alert.kind().event().into());
        notice.fields.insert("lasted_s".into(), lasted.as_secs().into());
        notice
    }

    pub(super) fn of_heal(text: String, heal: &Value) -> Self {
        Self::new("heal_ended", text, json!({ "heal": heal }))
    }

    pub(super) fn of_unposted(count: u32) -> Self {
        let text = format!(
            "remora: {count} further alerts of the last 10 minutes were not posted; the log has them: `remora status`"
        );
        Self::new("not_posted", text, json!({ "count": count, "command": "remora status" }))
    }

    fn new(event: &'static str, text: String, fields: Value) -> Self {
        let fields = match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        Self { event, text, at: SystemTime::now(), fields }
    }

    /// The body of the post.
    pub(super) fn body(&self, format: AlertFormat, host: &str) -> String {
        let message = || format!("[{host}] {}", one_line(&self.text));
        let body = match format {
            AlertFormat::Json => {
                let mut body = self.fields.clone();
                body.insert("event".into(), self.event.into());
                body.insert("text".into(), self.text.clone().into());
                body.insert("host".into(), host.into());
                body.insert("at".into(), rfc3339(self.at).into());
                Value::Object(body)
            }
            AlertFormat::Slack => json!({
                "text": slack(&message()),
                "unfurl_links": false,
                "unfurl_media": false,
            }),
            AlertFormat::Discord => json!({
                "content": discord(&message()),
                "allowed_mentions": { "parse": [] },
                "flags": SUPPRESS_EMBEDS,
            }),
        };
        body.to_string()
    }
}

/// Slack takes `<...>` for a link or a mention, and wants these three written as entities.
fn slack(text: &str) -> String {
    let mut message = String::with_capacity(text.len());
    for c in text.chars().take(SLACK_MAX) {
        match c {
            '&' => message.push_str("&amp;"),
            '<' => message.push_str("&lt;"),
            '>' => message.push_str("&gt;"),
            c => message.push(c),
        }
    }
    message
}

/// Discord's Markdown is kept for commands in backticks; what would be a link, a mention or a heading is not.
fn discord(text: &str) -> String {
    let mut message = String::with_capacity(text.len());
    for c in text.chars() {
        let escaped = matches!(c, '\\' | '*' | '_' | '~' | '|' | '<' | '>' | '[' | ']' | '(' | ')' | '#');
        // Between backticks a backslash is a backslash.
        let is_code = message.matches('`').count() % 2 == 1;
        if escaped && !is_code {
            message.push('\\');
        }
        message.push(c);
    }
    // Its limit is in UTF-16 units at worst.
    let mut units = 0;
    message
        .chars()
        .take_while(|c| {
            units += c.len_utf16();
            units <= DISCORD_MAX
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(notice: &Notice, format: AlertFormat) -> Value {
        serde_json::from_str(&notice.body(format, "edge-1")).unwrap()
    }

    fn down(cause: &str) -> Alert {
        Alert::UpstreamDown { upstream: "api".into(), backends: 2, cause: cause.into(), heals: true }
    }

    #[test]
    fn plain_json_has_what_it_had_and_more() {
        let gave_up = Alert::NotHealed { upstream: "api".into(), backend: "10.0.0.1:80".into(), reason: "why".into() };
        let mut body = parsed(&Notice::of_alert(&gave_up), AlertFormat::Json);
        assert!(body["at"].as_str().is_some_and(|at| at.ends_with('Z')));
        body["at"] = Value::Null;
        let text = "remora does not heal 10.0.0.1:80 of api: why";
        assert_eq!(
            body,
            json!({
                "event": "gave_up", "text": text, "upstream": "api", "backend": "10.0.0.1:80", "reason": "why",
                "command": "remora heal api", "host": "edge-1", "at": null,
            })
        );
        let heal = Notice::of_heal("remora: heal of x".into(), &json!({ "id": 7 }));
        let body = parsed(&heal, AlertFormat::Json);
        assert_eq!(
            (&body["event"], &body["text"], &body["heal"]["id"]),
            (&json!("heal_ended"), &json!("remora: heal of x"), &json!(7))
        );
        let over = parsed(&Notice::of_over(&gave_up, Duration::from_secs(75)), AlertFormat::Json);
        assert_eq!((&over["event"], &over["of"], &over["lasted_s"]), (&json!("over"), &json!("gave_up"), &json!(75)));
    }

    #[test]
    fn slack_sees_no_link_and_nobody_is_called() {
        let body = parsed(&Notice::of_alert(&down("<!channel> & <https://x|y>")), AlertFormat::Slack);
        assert_eq!(
            body,
            json!({
                "text": "[edge-1] remora: all 2 backends of `api` are down (&lt;!channel&gt; &amp; &lt;https://x|y&gt;); to see more: `remora status`; to heal now: `remora heal api`",
                "unfurl_links": false, "unfurl_media": false,
            })
        );
    }

    #[test]
    fn discord_calls_nobody_and_gets_what_it_takes() {
        let body = parsed(&Notice::of_alert(&down("@everyone [a](http://x) **b**\n# c")), AlertFormat::Discord);
        assert_eq!(body["allowed_mentions"], json!({ "parse": [] }));
        let content = body["content"].as_str().unwrap();
        assert!(content.contains("@everyone \\[a\\]\\(http://x\\) \\*\\*b\\*\\*\\\\n\\# c"), "{content}");
        assert!(content.contains("`remora heal api`"), "{content}");
        let long = Notice::of_heal("\u{1f600}<".repeat(3_000), &Value::Null);
        let content = parsed(&long, AlertFormat::Discord)["content"].as_str().unwrap().to_owned();
        assert!(content.encode_utf16().count() <= DISCORD_MAX && 1_900 < content.encode_utf16().count());
    }
}
