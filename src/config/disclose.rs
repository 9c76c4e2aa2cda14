//! A file as it may be shown to others: its keys and values, without comments, and without what is or may be a secret.
//! Variables are shown by their names.

use serde_yaml::{Mapping, Value};

use crate::types::{HIDDEN, line_without_secrets};

use super::keys::keys_of;
use super::raw::*;
use super::tree;

/// What the children of a map are named by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    /// Keys of ours.
    Keys,
    /// Names of the user's own: upstreams, and paths of routes.
    Freely,
}

/// The text of a file without its secrets, as YAML.
///
/// # Errors
/// With what is wrong with it where it is no YAML, so that nothing of it may be shown.
pub fn disclosed(text: &str) -> Result<String, String> {
    let value = tree::parse(text).map_err(|error| error.message)?;
    serde_yaml::to_string(&shown(&value, Named::Keys)).map_err(|error| error.to_string())
}

fn shown(value: &Value, named: Named) -> Value {
    match value {
        Value::Mapping(map) => {
            Value::Mapping(map.iter().map(|(key, value)| entry(key, value, named)).collect::<Mapping>())
        }
        Value::Sequence(items) => Value::Sequence(items.iter().map(|item| shown(item, named)).collect()),
        Value::Tagged(tagged) => shown(&tagged.value, named),
        Value::String(text) => line_without_secrets(text).into(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn entry(key: &Value, value: &Value, named: Named) -> (Value, Value) {
    let name = key.as_str().unwrap_or_default();
    let inside =
        if matches!(name, "routes" | "upstreams") && named == Named::Keys { Named::Freely } else { Named::Keys };
    let hidden = match name {
        _ if named == Named::Freely => shown(value, Named::Keys),
        // A URL that is a secret from its path on.
        "alerts" | "webhook" if value.is_string() => webhook(value.as_str().unwrap_or_default()).into(),
        "headers" if value.is_mapping() => all_hidden(value),
        "<<" => shown(value, Named::Keys),
        name if is_known(name) => shown(value, inside),
        // What is no key of ours may be anything.
        _ => scalars_hidden(value),
    };
    (line_without_secrets(name).into(), hidden)
}

fn is_known(name: &str) -> bool {
    let keys = [
        keys_of::<RawFile>(),
        keys_of::<RawListen>(),
        keys_of::<RawTls>(),
        keys_of::<RawCertificate>(),
        keys_of::<RawLog>(),
        keys_of::<RawJournal>(),
        keys_of::<RawAlerts>(),
        keys_of::<RawDocker>(),
        keys_of::<RawLimits>(),
        keys_of::<RawRoute>(),
        keys_of::<RawRouteLimits>(),
        keys_of::<RawAuth>(),
        keys_of::<RawCors>(),
        keys_of::<RawUpstream>(),
        keys_of::<RawServer>(),
        keys_of::<RawCheck>(),
        keys_of::<RawTimeouts>(),
        keys_of::<RawRetry>(),
        keys_of::<RawHeal>(),
        keys_of::<RawStep>(),
    ];
    keys.iter().any(|keys| keys.contains(&name))
}

/// Maps below an unknown key are looked into: `x-app: &app { check: /health }`.
fn scalars_hidden(value: &Value) -> Value {
    match value {
        Value::Mapping(_) => shown(value, Named::Keys),
        Value::Sequence(items) => Value::Sequence(items.iter().map(scalars_hidden).collect()),
        Value::Tagged(tagged) => scalars_hidden(&tagged.value),
        Value::Null => Value::Null,
        Value::Bool(_) | Value::Number(_) | Value::String(_) => HIDDEN.into(),
    }
}

fn all_hidden(map: &Value) -> Value {
    let hide = |(key, _): (&Value, &Value)| (key.clone(), Value::from(HIDDEN));
    Value::Mapping(map.as_mapping().into_iter().flatten().map(hide).collect::<Mapping>())
}

/// `https://hooks.slack.com/***`: what it is for, and nothing that would let another post there.
fn webhook(text: &str) -> String {
    if text == "off" || (text.starts_with("${") && text.ends_with('}') && !text.contains(":-")) {
        return text.to_owned();
    }
    let authority = text.split_once("://").and_then(|(scheme, rest)| {
        let authority = rest.split(['/', '?', '#']).next()?;
        let host = authority.rsplit('@').next()?;
        matches!(scheme, "http" | "https").then(|| format!("{scheme}://{host}/{HIDDEN}"))
    });
    authority.unwrap_or_else(|| HIDDEN.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
# the token is s3cret-comment
x-own: s3cret-own
x-app: &app { check: { http: "/health?key=s3cret-query", headers: { Authorization: "Bearer s3cret-header" } }, hold: 5s }
alerts: { webhook: "https://hooks.slack.com/services/T/s3cret-hook", format: slack }
listen: [80, { address: 443, tls: { certificate: /tls/a.pem, key: /tls/a.key } }]
basic_auth: { admin: "$2y$05$s3crethash0123456789" }
password: s3cret-key
routes:
  /: app
  /api: { to: app, api_key: s3cret-route }
upstreams:
  app: { <<: *app, servers: "http://root:s3cret-user@app:8000", heal: "mysqladmin --password=s3cret-heal ping" }
  db: { servers: "db:${DB_PORT:-3306}", check: mysql, budget: 3/10m, heal: { steps: [restart], env: { A: s3cret-env } } }
"#;

    #[test]
    fn what_is_secret_is_not_shown_and_what_is_not_is() {
        let text = disclosed(FILE).unwrap();
        assert!(!text.contains("s3cret"), "{text}");
        for part in [
            "webhook: https://hooks.slack.com/***",
            "certificate: /tls/a.pem",
            "http: /health?***",
            "Authorization: '***'",
            "/: app",
            "servers: http://***@app:8000",
            "db:${DB_PORT:-3306}",
            "check: mysql",
            "- restart",
            "hold: 5s",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        // What does not look like one is not taken for one where a key is known.
        assert!(!text.contains("comment"));
    }

    #[test]
    fn webhooks_keep_their_host_alone() {
        #[rustfmt::skip]
        let rows = [
            ("https://u:p@hooks.example.com:8443/x", "https://hooks.example.com:8443/***"),
            ("hooks.example.com/x",                  "***"),
            ("${WEBHOOK}",                           "${WEBHOOK}"),
            ("${WEBHOOK:-https://a/b}",              "***"),
            ("off",                                  "off"),
        ];
        for (text, expected) in rows {
            assert_eq!(webhook(text), expected, "{text}");
        }
        assert!(disclosed("a: [").is_err());
    }
}
