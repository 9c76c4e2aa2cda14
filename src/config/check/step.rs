//! The steps of a repair: words, lines as people type them, and maps of one key.

use super::super::model::{Preset, Signal, Step};
use super::super::problem::{Problem, Problems};
use super::super::raw::RawStep;
use super::super::read::{Form, Item, field, one_or_many, open, text};
use super::super::words::{nearest, quoted};
use super::leaf::all;
use super::line;

/// Most steps of one ladder, and most arguments of one command.
const STEPS_MAX: usize = 20;
const ARGUMENTS_MAX: usize = 100;
const FORMS: &str =
    "a line such as `pm2 reload app`, or one of `{ signal: HUP }`, `{ exec: [cmd, arg] }`, `{ systemd: mysql }`";

/// One step or a list; a preset may stand for several.
pub(super) fn steps(item: &Item, problems: &mut Problems) -> Option<Vec<Step>> {
    let items = one_or_many(item);
    if items.is_empty() {
        let problem = Problem::new(&item.place, format!("{} lists no step", quoted(item.place.name())));
        return problems.add(problem.help("list a step such as `gunicorn`, or write `heal: off`"));
    }
    let found: Vec<Vec<Step>> = all(items.iter().map(|item| step(item, problems)).collect())?;
    let found: Vec<Step> = found.into_iter().flatten().collect();
    if STEPS_MAX < found.len() {
        let problem =
            Problem::new(&item.place, format!("there are {} steps; at most {STEPS_MAX} are allowed", found.len()));
        return problems.add(problem.help("keep only those that are known to work"));
    }
    Some(found)
}

fn step(item: &Item, problems: &mut Problems) -> Option<Vec<Step>> {
    match item.form() {
        Form::Text(text) => line::steps(&text).map_or_else(
            |refused| {
                let problem = Problem::new(&item.place, refused.message);
                problems.add(problem.help(refused.help))
            },
            Some,
        ),
        Form::Map => long(item, problems).map(|step| vec![step]),
        Form::List(_) | Form::Nothing => item.wrong_form(FORMS, problems),
    }
}

fn long(item: &Item, problems: &mut Problems) -> Option<Step> {
    let count = item.entries().len();
    let mut raw: RawStep = open(item, FORMS, problems)?;
    if count != 1 {
        let problem = Problem::new(&item.place, format!("a step has one key; this one has {count}"));
        return problems.add(problem.help("make each a step of its own: `- signal: HUP`"));
    }
    let mut preset = |item: Option<Item>, preset: fn(String) -> Preset| {
        item.map(|item| name(&item, problems).map(|name| Step::Preset(preset(name))))
    };
    let found = preset(field!(raw.systemd, item), Preset::Systemd)
        .or_else(|| preset(field!(raw.supervisor, item), Preset::Supervisor))
        .or_else(|| preset(field!(raw.pm2, item), Preset::Pm2Reload));
    if let Some(found) = found {
        return found;
    }
    match (field!(raw.signal, item), field!(raw.exec, item)) {
        (Some(item), _) => signal(&item, problems).map(Step::Signal),
        (None, Some(item)) => argv(&item, problems).map(Step::Exec),
        // The one key was unknown or empty, which has been said.
        (None, None) => None,
    }
}

/// The name of a unit, program or app, which must not read as an option.
fn name(item: &Item, problems: &mut Problems) -> Option<String> {
    let text = text(item, problems)?;
    if line::is_name(&text) {
        return Some(text);
    }
    let problem = Problem::new(&item.place, format!("{} is not a name", quoted(&text)));
    problems.add(problem.help("use letters, digits, `_`, `-`, `.`, `:` and `@`, starting with a letter or digit"))
}

fn signal(item: &Item, problems: &mut Problems) -> Option<Signal> {
    let text = text(item, problems)?;
    if let Some(signal) = Signal::parse(&text) {
        return Some(signal);
    }
    let names = Signal::ALL.map(Signal::name);
    let problem = Problem::new(&item.place, format!("{} is not a signal that can be sent", quoted(&text)));
    problems.add(match nearest(&text, names) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => problem.help(format!("write one of {}", names.join(", "))),
    })
}

fn argv(item: &Item, problems: &mut Problems) -> Option<Vec<String>> {
    let Form::List(items) = item.form() else {
        return item
            .wrong_form("the command and its arguments as a list: `exec: [pkill, -HUP, -o, gunicorn]`", problems);
    };
    let words: Vec<String> = all(items.iter().map(|item| text(item, problems)).collect())?;
    let message = match words.first() {
        None => "`exec` is an empty list".to_owned(),
        Some(program) if program.trim().is_empty() => "`exec` names no program".to_owned(),
        Some(_) if ARGUMENTS_MAX < words.len() => format!("`exec` has more than {ARGUMENTS_MAX} arguments"),
        Some(_) if words.iter().any(|word| word.contains('\0')) => "`exec` contains a NUL byte".to_owned(),
        Some(_) => return Some(words),
    };
    problems.add(
        Problem::new(&item.place, message)
            .help("write a program and its arguments: `exec: [pkill, -HUP, -o, gunicorn]`"),
    )
}
