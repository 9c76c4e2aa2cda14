//! What may stand behind a key, as JSON Schema. A text with `${` in it is allowed wherever one value is.
//!
//! Patterns are for machines: what an editor shows is in `errorMessage` and `patternErrorMessage`, which the language
//! servers of VS Code (JSON and YAML) know; closed sets are `enum`, so that they are offered.

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::super::raw::{
    RawAccessLog, RawAlerts, RawCertificate, RawCheck, RawCors, RawDocker, RawHeal, RawJournal, RawListen, RawRetry,
    RawRoute, RawServer, RawStep, RawTls, RawUpstream,
};

/// A form whose schema is a constant.
macro_rules! form {
    ($(#[$doc:meta])* $name:ident, $json:expr) => {
        $(#[$doc])*
        pub(in crate::config) struct $name;

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                schema_of($json)
            }
        }
    };
}

/// A form that refers to others and has a name of its own in the schema.
macro_rules! named_form {
    ($(#[$doc:meta])* $name:ident, $generator:ident => $json:expr) => {
        $(#[$doc])*
        pub(in crate::config) struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema($generator: &mut SchemaGenerator) -> Schema {
                schema_of($json)
            }
        }
    };
}

form!(/** Any text. */ Text, json!({ "type": ["string", "number", "boolean"] }));
form!(/** An amount of time. */ Duration, or_zero(r"[0-9]+(\.[0-9]+)? *(ms|s|m|h|d)", "Write a time with its unit: 500ms, 2s, 10m or 1h."));
form!(/** A number of bytes. */ Size, or_zero(r"[0-9]+ *([bB]|[kKmMgG]([iI]?[bB])?)", "Write a size with its unit: 64KiB or 10MiB."));
form!(/** A share. */ Percent, pattern(r"[0-9]{1,3} *%", "Write a share: 20%."));
form!(/** So many in a time. */ Budget, pattern(r"[0-9]+ */ *[0-9]*(\.[0-9]+)? *(ms|s|m|h|d)", "Write COUNT/PERIOD: 3/10m."));
form!(/** True or false. */ Flag, json!({ "anyOf": [{ "type": "boolean" }, pattern("true|false", "Write true or false.")] }));
form!(/** A path, with a query where it is asked for. */ Path, pattern("/.*", "Write an absolute path: /health."));
form!(/** `host:port`. */ Address, pattern(r"[^\s,/]+:[0-9]{1,5}", "Write host:port without a scheme: backend:8000."));
form!(/** The form of error bodies. */ Errors, words(&["auto", "json", "html"]));
form!(/** The form of the access log. */ AccessForm, words(&["combined", "json", "off"]));
form!(/** The format of alerts. */ AlertFormat, words(&["json", "slack", "discord"]));
form!(/** A log level. */ Level, words(&["off", "error", "warn", "info", "debug", "trace"]));
form!(/** The way requests take. */ Lane, words(&["auto", "full"]));
form!(/** A check of a connection. */ TcpCheck, json!({ "anyOf": [{ "type": "boolean" }, words(&["mysql", "postgres", "redis", "true", "false"])] }));
form!(/** The method of a check. */ CheckMethod, words(&["GET", "HEAD", "OPTIONS", "POST", "get", "head", "options", "post"]));
form!(
    /** Headers with their values. */ Headers,
    json!({ "type": "object", "propertyNames": { "pattern": r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$|\$\{" }, "additionalProperties": one_value() })
);
form!(/** How requests are spread. */ Balance, words(&["round_robin"]));
form!(/** A signal. */ Signal, pattern(
    "(?:SIG|sig)?(?:HUP|INT|QUIT|TERM|KILL|USR1|USR2|WINCH|hup|int|quit|term|kill|usr1|usr2|winch)",
    "Write a signal: HUP, INT, QUIT, TERM, KILL, USR1, USR2 or WINCH.",
));
form!(/** A command as a list. */ Argv, json!({ "type": "array", "minItems": 1, "items": { "type": ["string", "number", "boolean"] } }));
form!(
    /** A port or address to listen on. */ ListenAddress,
    json!({ "anyOf": [{ "type": "integer", "minimum": 1, "maximum": 65535 }, pattern(
        r"[0-9]+|:[0-9]+|[0-9.]+:[0-9]+|\[[0-9a-fA-F:.]+\]:[0-9]+",
        "Write a port or an address with a port: 80, 127.0.0.1:8080 or [::]:80.",
    )] })
);
form!(
    /** A version of TLS. */ TlsVersion,
    json!({ "anyOf": [{ "type": "number", "enum": [1.2, 1.3] }, pattern(r"1\.[23]", "Write 1.2 or 1.3.")] })
);
form!(
    /** A status or a range of statuses. */ Statuses,
    json!({ "anyOf": [{ "type": "integer", "minimum": 100, "maximum": 599 }, pattern(
        r"[1-5][0-9]{2}( *- *[1-5][0-9]{2})?( *, *[1-5][0-9]{2}( *- *[1-5][0-9]{2})?)*",
        "Write status codes: 200, 200-399 or 200,204.",
    )] })
);
form!(
    /** What may be tried again. */ RetryOn,
    json!({ "anyOf": [{ "type": "integer", "minimum": 500, "maximum": 599 }, words_or(
        &["connect", "reset", "timeout"],
        "5[0-9]{2}",
        "Write connect, reset, timeout or a status code from 500 to 599.",
    )] })
);

named_form!(/** Routes. */ Routes, generator => {
    let route = generator.subschema_for::<RawRoute>();
    json!({ "anyOf": [
        { "type": "object", "additionalProperties": { "anyOf": [
            one_value(),
            { "allOf": [route], "properties": { "host": false, "path": false } },
        ] } },
        { "type": "array", "items": { "allOf": [route], "anyOf": [{ "required": ["host"] }, { "required": ["path"] }] } },
    ] })
});
named_form!(/** A listener. */ Listen, generator => {
    let (address, listen) = (generator.subschema_for::<ListenAddress>(), generator.subschema_for::<RawListen>());
    json!({ "anyOf": [address, listen] })
});
named_form!(/** The access log. */ AccessLog, generator => {
    let (form, log) = (generator.subschema_for::<AccessForm>(), generator.subschema_for::<RawAccessLog>());
    json!({ "anyOf": [form, log] })
});
named_form!(/** TLS. */ Tls, generator => {
    let (tls, certificate) = (generator.subschema_for::<RawTls>(), generator.subschema_for::<RawCertificate>());
    json!({ "anyOf": [tls, { "type": "array", "minItems": 1, "items": certificate }] })
});
named_form!(/** Upstreams by name. */ Upstreams, generator => {
    let (upstream, servers) = (generator.subschema_for::<RawUpstream>(), generator.subschema_for::<Servers>());
    json!({
        "type": "object",
        "propertyNames": { "anyOf": [{ "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$" }, { "pattern": r"\$\{" }] },
        "additionalProperties": { "anyOf": [servers, upstream] },
    })
});
named_form!(/** Servers. */ Servers, generator => {
    let (address, server) = (generator.subschema_for::<Address>(), generator.subschema_for::<RawServer>());
    json!({ "anyOf": [address, { "type": "array", "minItems": 1, "items": { "anyOf": [address, server] } }] })
});
named_form!(/** A health check. */ Check, generator => {
    let short = words_or(
        &["tcp", "mysql", "postgres", "redis", "off"],
        "/.*",
        "Write tcp, mysql, postgres, redis, off, or a path such as /health.",
    );
    json!({ "anyOf": [short, generator.subschema_for::<RawCheck>()] })
});
named_form!(/** Retries. */ Retry, generator => json!({ "anyOf": [words(&["off"]), generator.subschema_for::<RawRetry>()] }));
named_form!(/** CORS. */ Cors, generator => {
    let origins = generator.subschema_for::<OneOrMany<Text>>();
    json!({ "anyOf": [origins, generator.subschema_for::<RawCors>()] })
});
named_form!(/** Where Docker is. */ Docker, generator => {
    json!({ "anyOf": [words(&["auto", "off"]), generator.subschema_for::<RawDocker>()] })
});
named_form!(/** Where heals are written down. */ Journal, generator => {
    let short = words_or(&["auto", "off"], "/.*", "Write auto, off, or the absolute path of a file.");
    json!({ "anyOf": [short, generator.subschema_for::<RawJournal>()] })
});
named_form!(/** Where alerts are posted. */ Alerts, generator => {
    let short = words_or(&["off"], "https?://.*", "Write off, or the full URL of a webhook.");
    json!({ "anyOf": [short, generator.subschema_for::<RawAlerts>()] })
});
named_form!(/** One step of a repair. */ Step, generator => {
    json!({ "anyOf": [{ "type": "string", "minLength": 1 }, generator.subschema_for::<RawStep>()] })
});
named_form!(/** A repair. */ Heal, generator => {
    let steps = generator.subschema_for::<OneOrMany<Step>>();
    json!({ "anyOf": [steps, generator.subschema_for::<RawHeal>()] })
});

/// One value, or a list.
pub(in crate::config) struct OneOrMany<T>(PhantomData<T>);

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

/// A whole number in a range.
pub(in crate::config) struct Number<const LEAST: u64, const MOST: u64>;

impl<const LEAST: u64, const MOST: u64> JsonSchema for Number<LEAST, MOST> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Number_{LEAST}_{MOST}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let says = format!("Write a whole number, {LEAST} to {MOST}.");
        schema_of(
            json!({ "anyOf": [{ "type": "integer", "minimum": LEAST, "maximum": MOST }, pattern("[0-9]+", &says)] }),
        )
    }
}

/// A whole number in a range, or `auto`.
pub(in crate::config) struct AutoOr<const LEAST: u64, const MOST: u64>;

impl<const LEAST: u64, const MOST: u64> JsonSchema for AutoOr<LEAST, MOST> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("AutoOr_{LEAST}_{MOST}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let says = format!("Write auto or a whole number, {LEAST} to {MOST}.");
        let text = words_or(&["auto"], "[0-9]+", &says);
        schema_of(json!({ "anyOf": [{ "type": "integer", "minimum": LEAST, "maximum": MOST }, text] }))
    }
}

fn schema_of(json: Value) -> Schema {
    // Every constant here is an object; the other arm only keeps this total.
    Schema::try_from(json).unwrap_or_default()
}

/// A text that matches as a whole, or holds a variable; `says` is what an editor shows where it is something else.
fn pattern(whole: &str, says: &str) -> Value {
    let pattern = format!(r"^(?:{whole})$|\$\{{");
    json!({ "type": "string", "pattern": pattern, "patternErrorMessage": says, "errorMessage": says })
}

fn or_zero(whole: &str, says: &str) -> Value {
    json!({ "anyOf": [{ "const": 0 }, pattern(&format!("0|{whole}"), says)] })
}

/// One of these words, which an editor offers.
fn words(words: &[&str]) -> Value {
    json!({ "anyOf": [{ "type": "string", "enum": words }, variable(&format!("Write one of {}.", words.join(", ")))] })
}

/// One of these words, or a text that matches as a whole.
fn words_or(words: &[&str], whole: &str, says: &str) -> Value {
    json!({ "anyOf": [{ "type": "string", "enum": words }, pattern(whole, says)] })
}

/// A text with a variable in it.
fn variable(says: &str) -> Value {
    json!({ "type": "string", "pattern": r"\$\{", "patternErrorMessage": says, "errorMessage": says })
}

/// One of some keys has to be there, and no other of them.
pub(in crate::config) fn one_required(keys: &[&str]) -> Value {
    keys.iter().map(|key| json!({ "required": [key] })).collect()
}

fn one_value() -> Value {
    json!({ "type": ["string", "number", "boolean"] })
}
