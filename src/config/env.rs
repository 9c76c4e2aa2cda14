//! Expands `${NAME}` and `${NAME:-default}` inside values that have been parsed, so that a variable cannot add YAML.

/// Reads a variable of the environment.
pub(super) type Env<'e> = &'e dyn Fn(&str) -> Option<String>;

/// Why a text was not expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidVariable {
    /// Neither set nor given a default.
    #[error("the environment variable `{0}` is not set; set it, or give it a default: `${{{0}:-value}}`")]
    Unset(String),
    /// No closing brace.
    #[error("`${{` has no closing `}}`; write `${{NAME}}`, or `$${{` for a literal `${{`")]
    Unclosed,
    /// Something else between the braces.
    #[error("`${{{0}}}` is not a variable; write `${{NAME}}` or `${{NAME:-default}}`, or `$${{` for a literal `${{`")]
    NotVariable(String),
}

/// Expands every variable of a text. `$${` stays as `${`; a lone `$` is left alone.
pub(super) fn expand(text: &str, env: Env<'_>) -> Result<String, InvalidVariable> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, from) = rest.split_at(start);
        let inner = from.get(2..).unwrap_or_default();
        if let Some(kept) = before.strip_suffix('$') {
            expanded.push_str(kept);
            expanded.push_str("${");
            rest = inner;
            continue;
        }
        expanded.push_str(before);
        let (inside, after) = inner.split_once('}').ok_or(InvalidVariable::Unclosed)?;
        expanded.push_str(&variable(inside, env)?);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn variable(inside: &str, env: Env<'_>) -> Result<String, InvalidVariable> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let named = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !named || default.is_some_and(|default| default.contains("${")) {
        return Err(InvalidVariable::NotVariable(inside.into()));
    }
    match (env(name), default) {
        // As in a shell, a default also stands in for an empty value.
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.into()),
        (Some(value), None) => Ok(value),
        (None, None) => Err(InvalidVariable::Unset(name.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "PORT" => Some("8080".into()),
            "EMPTY" => Some(String::new()),
            "TRICK" => Some("${PORT}: [".into()),
            _ => None,
        }
    }

    #[test]
    fn variables_and_defaults_are_expanded_once() {
        #[rustfmt::skip]
        let rows = [
            ("plain", "plain"), ("${PORT}", "8080"), (":${PORT}", ":8080"), ("${NO:-80}", "80"), ("${PORT:-80}", "8080"),
            ("${EMPTY:-x}", "x"), ("${EMPTY}", ""), ("${NO:-}", ""), ("$${PORT}", "${PORT}"), ("$PORT $1 $(x) $", "$PORT $1 $(x) $"),
            ("${TRICK}", "${PORT}: ["), ("${PORT}${PORT}", "80808080"), ("${NO:-a:-b}", "a:-b"), ("ä${PORT}ö", "ä8080ö"),
        ];
        for (text, expected) in rows {
            assert_eq!(expand(text, &env).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_variable_is_refused() {
        for text in ["${NO}", "${", "a${PORT", "${}", "${1}", "${a b}", "${PORT:?x}", "${PORT-80}", "${A:-${PORT}}"] {
            assert!(expand(text, &env).is_err(), "{text}");
        }
    }
}
