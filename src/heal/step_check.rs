//! Whether a ladder would work in a container, found out without doing any of it: what `remora doctor` asks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use crate::config::model::{Preset, Signal, Step};
use crate::docker::{Command, ContainerRef, ContainerState, Docker, ExecError, ExecOutcome};

use super::preset;

/// Deadline of one look.
const LIMIT: Duration = Duration::from_secs(10);

/// Prints what PID 1 is and which signals it handles, and which of the programs `$@` are there.
const LOOK: &str = r#"
read -r comm </proc/1/comm && echo "pid1 $comm"
while read -r key value _; do case $key in SigCgt: | SigBlk:) echo "takes $value" ;; esac; done </proc/1/status
# Not by `command -v`, which knows the shell's own `kill` where there is no other.
is_there() {
    case $1 in */*) [ -x "$1" ]; return ;; esac
    IFS=:
    for folder in $PATH; do
        if [ -f "$folder/$1" ] && [ -x "$folder/$1" ]; then return 0; fi
    done
    return 1
}
for program in "$@"; do
    if (is_there "$program"); then echo "has $program"; fi
done
"#;

/// Prints `pid parent name` of the processes `$@`, and `above pid name` of their parents.
const FAMILY: &str = r#"
for pid in "$@"; do
    read -r comm <"/proc/$pid/comm" || continue
    while read -r key value _; do
        if [ "$key" = PPid: ]; then
            echo "$pid $value $comm"
            if read -r comm <"/proc/$value/comm"; then echo "above $value $comm"; fi
        fi
    done <"/proc/$pid/status"
done 2>/dev/null
"#;

/// Programs whose children are workers that only they may be told about.
const MASTERS: [&str; 5] = ["gunicorn", "uvicorn", "fastapi", "hypercorn", "python"];

/// Inits that pass every signal on to their child.
const PASS_ON: [&str; 4] = ["tini", "docker-init", "catatonit", "dumb-init"];

/// What would become of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Feasibility {
    /// It would do what it is for.
    Works,
    /// It would do more, or less, than its author thinks; or it cannot be told.
    Doubtful,
    /// It would fail.
    Broken,
}

/// What was found out about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepFinding {
    /// The step as an operator would write it, or what else was looked at.
    pub about: String,
    /// Whether it would work.
    pub verdict: Feasibility,
    /// Why, and what to do about it.
    pub note: String,
}

/// What was seen in a container.
#[derive(Debug, Default, PartialEq, Eq)]
struct Facts {
    pid1: String,
    /// One bit for each signal that PID 1 handles, or blocks to wait for it, as tini and systemd do: the kernel drops others.
    takes: u64,
    programs: BTreeSet<String>,
}

type Said = (Feasibility, String);

fn works(note: impl Into<String>) -> Said {
    (Feasibility::Works, note.into())
}

fn doubtful(note: impl Into<String>) -> Said {
    (Feasibility::Doubtful, note.into())
}

fn broken(note: impl Into<String>) -> Said {
    (Feasibility::Broken, note.into())
}

/// Looks at every step of a ladder in one container.
pub async fn check_steps(docker: &Docker, container: &ContainerRef, steps: &[Step]) -> Vec<StepFinding> {
    let finding = |step: &Step, (verdict, note)| StepFinding { about: step.to_string(), verdict, note };
    if !matches!(container.state, ContainerState::Running | ContainerState::Unknown) {
        let note = format!("`{}` is {}: no command can run in it now", container.name, container.state);
        return steps.iter().map(|step| finding(step, doubtful(note.clone()))).collect();
    }
    let target = ContainerUnderCheck { docker, container, facts: look(docker, container, steps).await };
    let mut findings = Vec::new();
    for step in steps {
        findings.push(finding(step, target.step(step).await));
    }
    findings
}

/// What is in the container; an error where nothing can be run in it.
async fn look(docker: &Docker, container: &ContainerRef, steps: &[Step]) -> Result<Facts, ExecError> {
    let programs = steps.iter().filter_map(|step| match step {
        Step::Exec(argv) => argv.first().map(String::as_str),
        Step::Signal(_) | Step::Preset(_) | Step::Restart => None,
    });
    let words = ["sh", "-c", LOOK, "sh", "systemctl"].into_iter().chain(programs);
    Ok(read_facts(&docker.exec(container, &Command::new(words), LIMIT).await?.stdout))
}

fn read_facts(said: &str) -> Facts {
    let mut facts = Facts::default();
    for (key, value) in said.lines().filter_map(|line| line.split_once(' ')) {
        match key {
            "pid1" => facts.pid1 = value.to_owned(),
            "takes" => facts.takes |= u64::from_str_radix(value, 16).unwrap_or_default(),
            "has" => _ = facts.programs.insert(value.to_owned()),
            _ => {}
        }
    }
    facts
}

/// A container under examination.
struct ContainerUnderCheck<'a> {
    docker: &'a Docker,
    container: &'a ContainerRef,
    facts: Result<Facts, ExecError>,
}

impl ContainerUnderCheck<'_> {
    async fn step(&self, step: &Step) -> Said {
        let facts = match &self.facts {
            Ok(facts) => facts,
            Err(_) if *step == Step::Restart => return restart(),
            Err(ExecError::NotFound { .. } | ExecError::NotExecutable { .. }) => return without_shell(step),
            Err(error) => return broken(error.to_string()),
        };
        match step {
            Step::Signal(signal) => facts.signal(*signal),
            Step::Exec(argv) => self.command(facts, argv).await,
            Step::Preset(preset) => self.preset(facts, preset).await.unwrap_or_else(|error| broken(error.to_string())),
            Step::Restart => restart(),
        }
    }

    async fn run(&self, command: &Command) -> Result<ExecOutcome, ExecError> {
        self.docker.exec(self.container, command, LIMIT).await
    }

    async fn command(&self, facts: &Facts, argv: &[String]) -> Said {
        let Some((program, arguments)) = argv.split_first() else { return broken("the command is empty") };
        if !facts.programs.contains(program) {
            return broken(format!("`{program}` is not in this image: it would exit with code 127"));
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match program.rsplit('/').next().unwrap_or_default() {
            "kill" => match without_signal(&arguments) {
                (signal, rest) if rest == ["1"] => facts.signal_named(signal),
                _ => works(format!("`{program}` exists")),
            },
            "pkill" => {
                let (signal, rest) = without_signal(&arguments);
                self.pattern(facts, &rest, signal).await
            }
            "systemctl" => match arguments[..] {
                ["restart" | "reload" | "start" | "try-restart" | "reload-or-restart", unit] => {
                    self.systemd(facts, unit).await.unwrap_or_else(|error| broken(error.to_string()))
                }
                _ if facts.pid1 != "systemd" => facts.no_systemd(),
                _ => doubtful(format!("`{program}` exists; its arguments were not checked")),
            },
            "sh" | "bash" | "dash" | "ash" => doubtful(format!("`{program}` exists; its arguments were not checked")),
            _ => works(format!("`{program}` exists")),
        }
    }

    /// Which processes a `pkill` with these arguments would reach now.
    async fn pattern(&self, facts: &Facts, arguments: &[&str], signal: &str) -> Said {
        let found = match self.run(&Command::new([&["pgrep"], arguments].concat())).await {
            Ok(found) if matches!(found.code, 0 | 1) => found,
            Ok(found) => {
                return doubtful(format!("cannot determine its target processes: pgrep says {}", found.stderr.trim()));
            }
            Err(ExecError::NotFound { .. }) => {
                return doubtful("cannot determine its target processes: there is no `pgrep`");
            }
            Err(error) => return broken(error.to_string()),
        };
        let pids: Vec<&str> = found.stdout.split_whitespace().filter(|pid| pid.parse::<u32>().is_ok()).collect();
        if pids.is_empty() {
            return broken("no process matches it now: it would exit with code 1");
        }
        if pids == ["1"] {
            return facts.signal_named(signal);
        }
        match self.run(&Command::new([&["sh", "-c", FAMILY, "sh"], &pids[..]].concat())).await {
            Ok(family) => reached(&family.stdout),
            Err(error) => broken(error.to_string()),
        }
    }

    async fn systemd(&self, facts: &Facts, unit: &str) -> Result<Said, ExecError> {
        if !facts.programs.contains("systemctl") {
            return Ok(broken("`systemctl` is not in this image"));
        }
        if facts.pid1 != "systemd" {
            return Ok(facts.no_systemd());
        }
        let asked = Command::new(["systemctl", "show", "-p", "LoadState", unit]).by("0");
        let state = self.run(&asked).await?.stdout;
        Ok(match state.trim().strip_prefix("LoadState=") {
            Some("loaded") => works(format!("systemd knows `{unit}`")),
            Some(state) => broken(format!("systemd says `{unit}` is {state}")),
            None => doubtful("systemd does not say whether it knows the unit"),
        })
    }

    async fn preset(&self, facts: &Facts, preset: &Preset) -> Result<Said, ExecError> {
        match preset {
            Preset::GunicornReload | Preset::GunicornKillWorkers => {
                let found = self.run(&preset::look_at_gunicorn()).await?;
                let kills = *preset == Preset::GunicornKillWorkers;
                Ok(match found.code {
                    0 if kills && !found.stdout.contains("workers") => broken("gunicorn has no workers"),
                    0 => works(format!("gunicorn is running: {}", found.stdout.trim())),
                    _ => broken(found.stderr.trim()),
                })
            }
            Preset::UvicornReload | Preset::UvicornKillWorkers => {
                let found = self.run(&preset::look_at_uvicorn()).await?;
                Ok(match found.code {
                    0 => works(format!("uvicorn is running: {}", found.stdout.trim())),
                    _ => broken(found.stderr.trim()),
                })
            }
            Preset::Pm2Reload(app) | Preset::Pm2Restart(app) => self.pm2(app).await,
            Preset::Systemd(unit) => self.systemd(facts, unit).await,
            Preset::Supervisor(program) => self.supervisor(program).await,
        }
    }

    async fn supervisor(&self, program: &str) -> Result<Said, ExecError> {
        let found = self.run(&preset::find_supervisor()).await?;
        let Some(daemon) = preset::daemons(&found.stdout).into_iter().next() else {
            return Ok(broken("supervisord is not running"));
        };
        let told = match self.run(&preset::tell_supervisor(&daemon, "status", program)).await {
            Err(ExecError::NotFound { .. }) => {
                return Ok(broken("supervisord is running, but there is no `supervisorctl` command"));
            }
            other => other?,
        };
        let said = format!("{} {}", told.stdout.trim(), told.stderr.trim());
        let said = said.trim().lines().next().unwrap_or_default().to_owned();
        // 3 is a program that does not run, which is what a restart is for.
        Ok(if matches!(told.code, 0 | 3) && !said.contains("ERROR") { works(said) } else { broken(said) })
    }

    /// The first daemon that listens is the one that is told.
    async fn pm2(&self, app: &str) -> Result<Said, ExecError> {
        let found = self.run(&preset::find_pm2()).await?;
        let mut last = broken("the PM2 daemon is not running");
        for daemon in preset::daemons(&found.stdout) {
            // `describe` knows no `all`, and `ls` no names.
            let verb = if app == "all" { "ls" } else { "describe" };
            let told = match self.run(&preset::tell_pm2(&daemon, verb, app)).await {
                Ok(told) => told,
                Err(ExecError::NotFound { .. }) => {
                    return Ok(broken("PM2 is running, but there is no `pm2` command"));
                }
                Err(error) => return Err(error),
            };
            last = match told.code {
                preset::PM2_NOT_LISTENING => broken(told.stderr.trim()),
                0 => return Ok(works(format!("PM2 is running and knows `{app}`"))),
                _ => return Ok(broken(format!("PM2 is running, but has no app named `{app}`"))),
            };
        }
        Ok(last)
    }
}

impl Facts {
    fn no_systemd(&self) -> Said {
        broken(format!("PID 1 is `{}`, not systemd, so there are no units", self.pid1))
    }

    fn signal_named(&self, name: &str) -> Said {
        let Some(signal) = Signal::parse(name) else {
            return doubtful(format!("not checked whether PID 1, `{}`, handles {name}", self.pid1));
        };
        self.signal(signal)
    }

    fn signal(&self, signal: Signal) -> Said {
        let (name, pid1) = (signal.name(), &self.pid1);
        if signal == Signal::Kill {
            return broken("the kernel ignores KILL sent to PID 1 from inside its container; list `restart` instead");
        }
        if self.takes >> (signal.number() - 1) & 1 == 1 {
            let how = if PASS_ON.contains(&pid1.as_str()) { "passes it on" } else { "handles it" };
            return works(format!("{name} goes to PID 1, `{pid1}`, which {how}"));
        }
        broken(format!("PID 1 is `{pid1}`, which does not handle {name}: it would be ignored"))
    }
}

/// The signal of a `kill` or `pkill`, TERM where none is named, and the other arguments.
fn without_signal<'a>(arguments: &[&'a str]) -> (&'a str, Vec<&'a str>) {
    // Options of theirs are small letters, or one capital alone.
    let is_signal = |word: &str| {
        let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        digits || (2 <= word.len() && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()))
    };
    let (mut signal, mut kept) = ("TERM", Vec::new());
    let mut rest = arguments.iter().copied();
    while let Some(word) = rest.next() {
        if matches!(word, "--signal" | "-s") && kept.is_empty() && signal == "TERM" {
            signal = rest.next().unwrap_or(signal);
        } else if let Some(name) = word.strip_prefix("--signal=") {
            signal = name;
        } else if let Some(name) = word.strip_prefix('-').filter(|name| is_signal(name)) {
            signal = name;
        } else {
            kept.push(word);
        }
    }
    (signal, kept)
}

/// What it means that these processes are reached.
fn reached(family: &str) -> Said {
    let mut all: Vec<(&str, &str, &str)> = Vec::new();
    let mut above = BTreeMap::new();
    for line in family.lines() {
        let mut words = line.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("above"), Some(pid), Some(name)) => _ = above.insert(pid, name),
            (Some(pid), Some(parent), Some(name)) => all.push((pid, parent, name)),
            _ => {}
        }
    }
    let is_child = |one: &&(&str, &str, &str)| all.iter().any(|other| other.0 == one.1);
    let (children, heads): (Vec<_>, Vec<_>) = all.iter().partition(is_child);
    let Some((pid, _, name)) = heads.first() else { return broken("the processes it matches have just ended") };
    let is_master = |name: &&str| MASTERS.iter().any(|master| name.starts_with(master));
    if let Some((parent, master)) =
        heads.iter().find_map(|head| above.get_key_value(head.1)).filter(|(_, name)| is_master(name))
    {
        return doubtful(format!(
            "reaches only workers of `{master}` (PID {parent}), such as `{name}` (PID {pid}), which may end at once with the \
             requests in them"
        ));
    }
    if children.is_empty() {
        let more = if heads.len() == 1 { String::new() } else { format!(", and {} more", heads.len() - 1) };
        return works(format!("reaches `{name}` (PID {pid}{more})"));
    }
    let pids = children.iter().map(|child| child.0).collect::<Vec<_>>().join(" ");
    let remedy = match name.get(..8).unwrap_or(name) {
        "gunicorn" => "`heal: gunicorn`",
        "uvicorn" => "`heal: uvicorn`",
        _ => "a pattern that matches only the first",
    };
    doubtful(format!(
        "reaches `{name}` (PID {pid}) and its workers too ({pids}), which may end at once with the requests in them; use {remedy} to spare them"
    ))
}

fn restart() -> Said {
    works("restarts the whole container, as listed in the file")
}

/// Steps where the image has no shell.
fn without_shell(step: &Step) -> Said {
    match step {
        Step::Signal(_) => doubtful("there is no shell: cannot determine whether PID 1 handles the signal"),
        Step::Exec(_) => doubtful("there is no shell: cannot determine whether the program exists"),
        Step::Preset(_) => broken("there is no shell in this image, and this step needs one"),
        Step::Restart => restart(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read() {
        let facts = read_facts("pid1 gunicorn: master\ntakes 0000000018017ee7\nhas pkill\nnonsense\n");
        assert!(facts.pid1 == "gunicorn: master" && facts.programs.contains("pkill"));
        assert_eq!(facts.signal(Signal::Hup).0, Feasibility::Works);
        assert_eq!(facts.signal(Signal::Kill).0, Feasibility::Broken);
        let shell = read_facts("pid1 sh\ntakes 0000000000010002\n");
        let (verdict, note) = shell.signal(Signal::Hup);
        assert!(verdict == Feasibility::Broken && note.contains("`sh`"), "{note}");
        assert_eq!(shell.signal(Signal::Int).0, Feasibility::Works);
        let tini = read_facts("pid1 tini\ntakes 0000000000000000\ntakes fffffffe7ffbfeff\n");
        assert!(tini.signal(Signal::Hup).1.contains("passes it on"));
        assert_eq!(tini.signal_named("TTIN").0, Feasibility::Doubtful);
        assert_eq!(read_facts("takes zz\n").takes, 0);
    }

    #[test]
    fn signals_are_told_from_patterns() {
        #[rustfmt::skip]
        let rows: [(&[&str], &str, &[&str]); 8] = [
            (&["-HUP", "gunicorn"],              "HUP",    &["gunicorn"]),
            (&["-SIGHUP", "-o", "gunicorn"],     "SIGHUP", &["-o", "gunicorn"]),
            (&["-f", "-1", "app:app"],           "1",      &["-f", "app:app"]),
            (&["--signal", "HUP", "-P", "1"],    "HUP",    &["-P", "1"]),
            (&["--signal=HUP", "-U", "0", "x"],  "HUP",    &["-U", "0", "x"]),
            (&["-TTIN", "1"],                    "TTIN",   &["1"]),
            (&["-s", "USR1", "1"],               "USR1",   &["1"]),
            (&["x"],                             "TERM",   &["x"]),
        ];
        for (arguments, signal, kept) in rows {
            assert_eq!(without_signal(arguments), (signal, kept.to_vec()), "{arguments:?}");
        }
    }

    #[test]
    fn workers_that_would_be_hit_are_seen() {
        #[rustfmt::skip]
        let rows = [
            ("1 0 gunicorn\n",                               Feasibility::Works,    "reaches `gunicorn` (PID 1)"),
            ("7 1 gunicorn\n8 1 gunicorn\n",                 Feasibility::Works,    "and 1 more"),
            ("1 0 gunicorn\n8 1 gunicorn\n9 1 gunicorn\n",   Feasibility::Doubtful, "workers too (8 9)"),
            ("5 1 my app\n8 5 my app\n",                     Feasibility::Doubtful, "a pattern that matches only"),
            ("7 1 python3\nabove 1 uvicorn\n",                Feasibility::Doubtful, "only workers of `uvicorn` (PID 1)"),
            ("7 1 gunicorn\nabove 1 sh\n8 1 gunicorn\n",      Feasibility::Works,    "and 1 more"),
            ("",                                             Feasibility::Broken,   "just ended"),
        ];
        for (family, verdict, note) in rows {
            let said = reached(family);
            assert!(said.0 == verdict && said.1.contains(note), "{family}: {said:?}");
        }
    }
}
