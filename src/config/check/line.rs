//! A step as a line that people type: `pm2 restart app`, `pkill -HUP gunicorn`, `systemctl restart mysql`.
//!
//! There is no shell in between, so a line that needs one is refused. Pure text in, steps out.

use super::super::model::{Preset, Signal, Step};
use super::super::words::{nearest, quoted};

/// Why a line is not a step.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RefusedLine {
    pub message: String,
    pub help: String,
}

fn refused(message: impl Into<String>, help: impl Into<String>) -> RefusedLine {
    RefusedLine { message: message.into(), help: help.into() }
}

/// The words that stand for a whole repair.
const WORDS: [&str; 4] = ["gunicorn", "uvicorn", "pm2", "restart"];

/// The steps that a line means.
pub(super) fn steps(line: &str) -> Result<Vec<Step>, RefusedLine> {
    let line = line.trim();
    match line {
        "gunicorn" => return Ok(vec![Step::Preset(Preset::GunicornReload), Step::Preset(Preset::GunicornKillWorkers)]),
        "uvicorn" => return Ok(vec![Step::Preset(Preset::UvicornReload), Step::Preset(Preset::UvicornKillWorkers)]),
        "pm2" => return Ok(vec![Step::Preset(Preset::Pm2Reload("all".into()))]),
        "restart" => return Ok(vec![Step::Restart]),
        "systemd" | "supervisor" | "signal" | "exec" => {
            return Err(refused(
                format!("`{line}` needs an argument"),
                format!("write `{{ {line}: … }}`, as in {}", example(line)),
            ));
        }
        _ => {}
    }
    if let Some(syntax) = shell_syntax(line) {
        let help = "there is no shell: write only the command, or `exec: [sh, -c, \"…\"]` if you need a shell";
        return Err(refused(format!("{} uses shell syntax, `{syntax}`", quoted(line)), help));
    }
    let words = shlex::split(line).unwrap_or_default();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    command(line, &words).map(|step| vec![step])
}

fn example(word: &str) -> &'static str {
    match word {
        "systemd" => "`{ systemd: mysql }`",
        "supervisor" => "`{ supervisor: web }`",
        "signal" => "`{ signal: HUP }`",
        _ => "`{ exec: [pkill, -HUP, -o, gunicorn] }`",
    }
}

fn command(line: &str, words: &[&str]) -> Result<Step, RefusedLine> {
    if let ["kill", options @ .., "1"] = words
        && let Some(signal) = signal_of(options)
    {
        return Ok(Step::Signal(signal));
    }
    let named = |name: &str, preset: fn(String) -> Preset| match is_name(name) {
        true => Ok(Step::Preset(preset(name.to_owned()))),
        false => Err(refused(format!("{} is not a name", quoted(name)), "name one unit, program or app")),
    };
    match words {
        [] => Err(refused(
            format!("{} is not a command", quoted(line)),
            "write a command such as `pm2 reload app`; close every quote",
        )),
        ["pm2", "reload", app] => named(app, Preset::Pm2Reload),
        ["pm2", "restart", app] => named(app, Preset::Pm2Restart),
        ["systemctl", "restart", unit] => named(unit, Preset::Systemd),
        ["supervisorctl", "restart", program] => named(program, Preset::Supervisor),
        [tool @ ("pm2" | "systemctl" | "supervisorctl"), "restart" | "reload"] => {
            Err(refused(format!("{} names no target", quoted(line)), format!("add one: `{tool} restart app`")))
        }
        ["docker" | "docker-compose", ..] => Err(refused(
            format!("{} would run inside the container, where there is no Docker", quoted(line)),
            "write `restart` to restart the container",
        )),
        // As typed the signal would also reach the workers, who die of it at once: only the master reloads on HUP.
        // And a uvicorn without workers would end.
        ["pkill" | "killall", options @ .., program @ ("gunicorn" | "uvicorn")]
            if signal_of(&without(options, &["-o", "-f", "-x"])) == Some(Signal::Hup) =>
        {
            let is_gunicorn = *program == "gunicorn";
            Ok(Step::Preset(if is_gunicorn { Preset::GunicornReload } else { Preset::UvicornReload }))
        }
        [word] => one_word(word),
        [assignment, ..] if is_assignment(assignment) => {
            let help = format!("there is no shell: write `env {line}`");
            Err(refused(format!("{} starts with an assignment, which is shell syntax", quoted(line)), help))
        }
        words => Ok(Step::Exec(words.iter().map(|word| (*word).to_owned()).collect())),
    }
}

fn one_word(word: &str) -> Result<Step, RefusedLine> {
    let number = word.parse::<f64>().is_ok();
    if number || matches!(word, "reload" | "auto" | "default" | "true" | "yes" | "on" | "false" | "no" | "none") {
        let help =
            "write `gunicorn`, `pm2 reload app`, `{ systemd: mysql }` or another step; `heal: off` disables healing";
        return Err(refused(format!("{} does not say how to heal", quoted(word)), help));
    }
    match nearest(word, WORDS) {
        Some(near) if !word.contains(['/', '.', '-', '_']) => {
            Err(refused(format!("{} is not a step", quoted(word)), format!("did you mean `{near}`?")))
        }
        _ => Ok(Step::Exec(vec![word.to_owned()])),
    }
}

fn without<'w>(words: &[&'w str], dropped: &[&str]) -> Vec<&'w str> {
    words.iter().copied().filter(|word| !dropped.contains(word)).collect()
}

/// The signal that the options of `kill` name: `-HUP`, `-s HUP`, `--signal HUP`, `--signal=HUP`.
fn signal_of(options: &[&str]) -> Option<Signal> {
    match options {
        ["-s" | "--signal", name] => Signal::parse(name),
        [option] => Signal::parse(option.strip_prefix("--signal=").or_else(|| option.strip_prefix('-'))?),
        _ => None,
    }
}

/// The name of a unit, program or app: nothing that a tool would take for an option.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '@' | '/' | '\\'))
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// The first thing in a line that only a shell would understand, quotes taken into account.
fn shell_syntax(line: &str) -> Option<String> {
    let mut quote = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None | Some('"'), '\\') => {
                chars.next();
            }
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None | Some('"'), '$' | '`') => return Some(c.into()),
            (None, '|' | '&' | ';' | '<' | '>' | '(' | ')' | '*' | '?' | '\n') => {
                let twice = matches!(c, '|' | '&' | '<' | '>') && chars.peek() == Some(&c);
                return Some(if twice { format!("{c}{c}") } else { c.escape_default().collect() });
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> String {
        match steps(line) {
            Ok(steps) => steps.iter().map(|step| format!("{step:?}")).collect::<Vec<_>>().join(" "),
            Err(refused) => format!("{}; {}", refused.message, refused.help),
        }
    }

    #[test]
    fn lines_mean_what_people_mean_by_them() {
        let preset = |preset| vec![Step::Preset(preset)];
        let exec = |words: &[&str]| vec![Step::Exec(words.iter().map(|word| (*word).to_owned()).collect())];
        #[rustfmt::skip]
        let rows = [
            ("gunicorn", vec![Step::Preset(Preset::GunicornReload), Step::Preset(Preset::GunicornKillWorkers)]),
            ("uvicorn", vec![Step::Preset(Preset::UvicornReload), Step::Preset(Preset::UvicornKillWorkers)]),
            ("pkill -HUP uvicorn", preset(Preset::UvicornReload)),
            ("pkill -KILL uvicorn", exec(&["pkill", "-KILL", "uvicorn"])),
            ("pm2", preset(Preset::Pm2Reload("all".into()))),
            ("restart", vec![Step::Restart]),
            ("pm2 restart app", preset(Preset::Pm2Restart("app".into()))),
            ("pm2 reload app", preset(Preset::Pm2Reload("app".into()))),
            ("pkill -HUP gunicorn", preset(Preset::GunicornReload)),
            ("pkill -SIGHUP gunicorn", preset(Preset::GunicornReload)),
            ("pkill -1 gunicorn", preset(Preset::GunicornReload)),
            ("pkill -HUP -f gunicorn", preset(Preset::GunicornReload)),
            ("pkill --signal HUP -o gunicorn", preset(Preset::GunicornReload)),
            ("killall -s HUP gunicorn", preset(Preset::GunicornReload)),
            ("pkill -KILL gunicorn", exec(&["pkill", "-KILL", "gunicorn"])),
            ("pkill -HUP nginx", exec(&["pkill", "-HUP", "nginx"])),
            ("kill -HUP 1", vec![Step::Signal(Signal::Hup)]),
            ("kill -s USR1 1", vec![Step::Signal(Signal::Usr1)]),
            ("kill -HUP 12", exec(&["kill", "-HUP", "12"])),
            ("systemctl restart mysql", preset(Preset::Systemd("mysql".into()))),
            ("systemctl reload nginx", exec(&["systemctl", "reload", "nginx"])),
            ("supervisorctl restart web", preset(Preset::Supervisor("web".into()))),
            ("/app/heal.sh", exec(&["/app/heal.sh"])),
            ("rails-restart", exec(&["rails-restart"])),
            ("touch 'a b' \"c;d\"", exec(&["touch", "a b", "c;d"])),
            ("pm2 restart app --update-env", exec(&["pm2", "restart", "app", "--update-env"])),
        ];
        for (line, expected) in rows {
            assert_eq!(steps(line).as_ref(), Ok(&expected), "{line}: {}", shown(line));
        }
    }

    #[test]
    fn lines_that_need_a_shell_or_a_name_are_refused() {
        #[rustfmt::skip]
        let lines = [
            "a | b", "a && b", "a; b", "kill $(cat /pid)", "echo `id`", "a > b", "a < b", "echo \"$HOME\"", "rm *", "(a)",
            "A=1 cmd", "pm2 restart", "systemctl restart", "pm2 restart --all", "docker restart web", "gunicrn", "reload",
            "pm22", "", "'open", "systemd", "exec", "a\nb", "true", "none", "5",
        ];
        for line in lines {
            assert!(steps(line).is_err(), "{line}: {}", shown(line));
        }
    }
}
