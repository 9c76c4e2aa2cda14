//! What may stand behind a key, as JSON Schema. A text with `${` in it is allowed wherever one value is.

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::super::raw::{
    RawCertificate, RawCheck, RawCors, RawDocker, RawHeal, RawJournal, RawListen, RawRetry, RawRoute, RawServer,
    RawStep, RawTls, RawUpstream,
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
form!(/** An amount of time. */ Duration, or_zero(r"[0-9]+(\.[0-9]+)? *(ms|s|m|h|d)"));
form!(/** A number of bytes. */ Size, or_zero(r"[0-9]+ *([bB]|[kKmMgG]([iI]?[bB])?)"));
form!(/** A share. */ Percent, pattern(r"[0-9]{1,3} *%"));
form!(/** So many in a time. */ Budget, pattern(r"[0-9]+ */ *[0-9]*(\.[0-9]+)? *(ms|s|m|h|d)"));
form!(/** True or false. */ Flag, json!({ "anyOf": [{ "type": "boolean" }, pattern("true|false")] }));
form!(/** A path, with a query where it is asked for. */ Path, pattern("/.*"));
form!(/** `host:port`. */ Address, pattern(r"[^\s,/]+:[0-9]{1,5}"));
form!(/** The form of error bodies. */ Errors, words(&["auto", "json", "html"]));
form!(/** The form of the access log. */ AccessLog, words(&["combined", "json", "off"]));
form!(/** A log level. */ Level, words(&["off", "error", "warn", "info", "debug", "trace"]));
form!(/** The way requests take. */ Lane, words(&["auto", "full"]));
form!(/** A check of a connection. */ TcpCheck, json!({ "anyOf": [{ "type": "boolean" }, pattern("true|false|mysql|postgres|redis")] }));
form!(/** The method of a check. */ CheckMethod, words(&["GET", "HEAD", "OPTIONS", "POST", "get", "head", "options", "post"]));
form!(
    /** Headers with their values. */ Headers,
    json!({ "type": "object", "propertyNames": { "pattern": r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$|\$\{" }, "additionalProperties": one_value() })
);
form!(/** How requests are spread. */ Balance, words(&["round_robin"]));
form!(/** A signal. */ Signal, pattern("(?:SIG|sig)?(?:HUP|INT|QUIT|TERM|KILL|USR1|USR2|WINCH|hup|int|quit|term|kill|usr1|usr2|winch)"));
form!(/** A command as a list. */ Argv, json!({ "type": "array", "minItems": 1, "items": { "type": ["string", "number", "boolean"] } }));
form!(
    /** A port or address to listen on. */ ListenAddress,
    json!({ "anyOf": [{ "type": "integer", "minimum": 1, "maximum": 65535 }, pattern(r"[0-9]+|:[0-9]+|[0-9.]+:[0-9]+|\[[0-9a-fA-F:.]+\]:[0-9]+")] })
);
form!(
    /** A version of TLS. */ TlsVersion,
    json!({ "anyOf": [{ "type": "number", "enum": [1.2, 1.3] }, pattern(r"1\.[23]")] })
);
form!(
    /** A status or a range of statuses. */ Statuses,
    json!({ "anyOf": [{ "type": "integer", "minimum": 100, "maximum": 599 }, pattern(r"[1-5][0-9]{2}( *- *[1-5][0-9]{2})?( *, *[1-5][0-9]{2}( *- *[1-5][0-9]{2})?)*")] })
);
form!(
    /** What may be tried again. */ RetryOn,
    json!({ "anyOf": [{ "type": "integer", "minimum": 500, "maximum": 599 }, pattern("connect|reset|timeout|5[0-9]{2}")] })
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
    json!({ "anyOf": [pattern("tcp|mysql|postgres|redis|off|/.*"), generator.subschema_for::<RawCheck>()] })
});
named_form!(/** Retries. */ Retry, generator => json!({ "anyOf": [pattern("off"), generator.subschema_for::<RawRetry>()] }));
named_form!(/** CORS. */ Cors, generator => {
    let origins = generator.subschema_for::<OneOrMany<Text>>();
    json!({ "anyOf": [origins, generator.subschema_for::<RawCors>()] })
});
named_form!(/** Where Docker is. */ Docker, generator => {
    json!({ "anyOf": [pattern("auto|off"), generator.subschema_for::<RawDocker>()] })
});
named_form!(/** Where heals are written down. */ Journal, generator => {
    json!({ "anyOf": [pattern("auto|off|/.*"), generator.subschema_for::<RawJournal>()] })
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
        schema_of(json!({ "anyOf": [{ "type": "integer", "minimum": LEAST, "maximum": MOST }, pattern("[0-9]+")] }))
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
        schema_of(
            json!({ "anyOf": [{ "type": "integer", "minimum": LEAST, "maximum": MOST }, pattern("auto|[0-9]+")] }),
        )
    }
}

fn schema_of(json: Value) -> Schema {
    // Every constant here is an object; the other arm only keeps this total.
    Schema::try_from(json).unwrap_or_default()
}

/// A text that matches as a whole, or holds a variable.
fn pattern(whole: &str) -> Value {
    json!({ "type": "string", "pattern": format!(r"^(?:{whole})$|\$\{{") })
}

fn or_zero(whole: &str) -> Value {
    json!({ "anyOf": [{ "const": 0 }, pattern(&format!("0|{whole}"))] })
}

fn words(words: &[&str]) -> Value {
    pattern(&words.join("|"))
}

/// One of some keys has to be there, and no other of them.
pub(in crate::config) fn one_required(keys: &[&str]) -> Value {
    keys.iter().map(|key| json!({ "required": [key] })).collect()
}

fn one_value() -> Value {
    json!({ "type": ["string", "number", "boolean"] })
}
