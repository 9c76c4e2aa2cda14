//! What is known to work for a program, as commands. Scripts here are fixed texts; whatever a user wrote is an argument.

use crate::config::model::Preset;
use crate::docker::Command;

/// Gunicorn under a shell alone, for images without procps. `$1` is `reload`, `kill`, or `look`, which does nothing.
///
/// HUP must reach the master only: workers take it for the end (measured: a request in flight is lost). A master is a
/// gunicorn whose parent is none. With `python -m gunicorn` the process is called python, so the arguments are read too.
const GUNICORN: &str = include_str!("gunicorn.sh");

/// uvicorn under a shell alone. `$1` is `reload`, `kill`, or `look`, which does nothing.
///
/// Only a parent of `--workers` takes HUP; to any other uvicorn it is the end, so who does not handle the signal is not sent it.
/// Its workers carry no name of their own: they are the children that Python's multiprocessing spawned, beside a tracker. The
/// parent starts a new worker, and then waits for the old one for ever and looks after nobody meanwhile (measured: a reload
/// with a blocked event loop), so an old worker that is still there after two seconds without a change is killed.
const UVICORN: &str = include_str!("uvicorn.sh");

/// Prints `pid uid gid` of every supervisord.
const SUPERVISOR_FIND: &str = include_str!("supervisor_find.sh");

/// `$1` is supervisord's process, `$2` the verb, `$3` the program. Run as supervisord's own user.
///
/// supervisorctl looks for a file of its own in its folder and in `/etc`, and knows nothing of the `-c` that supervisord was
/// started with; the socket is open to supervisord's user alone.
const SUPERVISOR_RUN: &str = include_str!("supervisor_run.sh");

/// Prints `pid uid gid` of every PM2 daemon: `God Daemon`, or pm2-runtime, which is one.
const PM2_FIND: &str = include_str!("pm2_find.sh");

/// `$1` is the daemon's process, `$2` the verb, `$3` the app. Run as the daemon's own user.
///
/// PM2's command line starts a daemon of its own wherever it finds none, so its home is taken from the running daemon and
/// nothing is run unless that one listens there.
///
/// A process whose event loop stands still cannot end when it is asked to: PM2 waits its whole `kill_timeout` for it, 1.6 s by
/// default, before it kills it. So one of the app's Node or Bun processes that is stopped, or that in ten looks within half a
/// second never waits for events, is killed here at once and PM2 starts it anew, in 0.15 s (measured). Where the kernel does
/// not tell what a process waits for, it is asked politely.
const PM2_RUN: &str = include_str!("pm2_run.sh");

/// A unit that failed too often refuses to start until that is forgotten.
const SYSTEMD: &str = r#"systemctl reset-failed "$1" >/dev/null 2>&1; exec systemctl restart "$1""#;

/// Why a preset cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a valid name of {1}: 1 to 128 letters, digits and `{2}`, not starting with `-`")]
pub(super) struct InvalidPresetName(String, &'static str, &'static str);

/// What a preset means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PresetAction {
    /// One command.
    Command(Command),
    /// PM2: the daemon must be found first.
    Pm2 {
        /// `reload` or `restart`.
        verb: &'static str,
        /// The app's name.
        app: String,
    },
    /// supervisor: the daemon must be found first. The program's name.
    Supervisor(String),
}

/// The commands of a preset.
///
/// # Errors
/// When a name has characters that no such name has.
pub(super) fn action(preset: &Preset) -> Result<PresetAction, InvalidPresetName> {
    let script = |script: &str, word: &str| Command::new(["sh", "-c", script, "sh", word]);
    let pm2 = |verb, app: &str| Ok(PresetAction::Pm2 { verb, app: name(app, "a PM2 app", "_.@:-")? });
    match preset {
        Preset::GunicornReload => Ok(PresetAction::Command(script(GUNICORN, "reload"))),
        Preset::GunicornKillWorkers => Ok(PresetAction::Command(script(GUNICORN, "kill"))),
        Preset::UvicornReload => Ok(PresetAction::Command(script(UVICORN, "reload"))),
        Preset::UvicornKillWorkers => Ok(PresetAction::Command(script(UVICORN, "kill"))),
        Preset::Pm2Reload(app) => pm2("reload", app),
        Preset::Pm2Restart(app) => pm2("restart", app),
        Preset::Systemd(unit) => {
            let unit = name(unit, "a systemd unit", "_.@:\\-")?;
            Ok(PresetAction::Command(script(SYSTEMD, &unit).by("0")))
        }
        Preset::Supervisor(program) => Ok(PresetAction::Supervisor(name(program, "a supervisor program", "_.:*-")?)),
    }
}

/// The command that tells which processes are Gunicorn's, and ends with an error where there are none.
pub(super) fn look_at_gunicorn() -> Command {
    Command::new(["sh", "-c", GUNICORN, "sh", "look"])
}

/// The command that tells which processes are uvicorn's, and ends with an error where none can reload.
pub(super) fn look_at_uvicorn() -> Command {
    Command::new(["sh", "-c", UVICORN, "sh", "look"])
}

/// The command that lists supervisor's daemons.
pub(super) fn find_supervisor() -> Command {
    Command::new(["sh", "-c", SUPERVISOR_FIND])
}

/// The command that tells supervisord about a program, as supervisord's own user.
pub(super) fn tell_supervisor(daemon: &Daemon, verb: &str, program: &str) -> Command {
    tell(SUPERVISOR_RUN, daemon, verb, program)
}

/// The command that lists PM2's daemons.
pub(super) fn find_pm2() -> Command {
    Command::new(["sh", "-c", PM2_FIND])
}

/// A running daemon: PM2's or supervisor's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Daemon {
    pid: u32,
    uid: u32,
    gid: u32,
}

/// Reads the answer of [`find_pm2`] or [`find_supervisor`]. At most three are tried.
pub(super) fn daemons(output: &str) -> Vec<Daemon> {
    let parse = |line: &str| {
        let mut numbers = line.split_whitespace().map(|word| word.parse().ok());
        let daemon = Daemon { pid: numbers.next()??, uid: numbers.next()??, gid: numbers.next()?? };
        numbers.next().is_none().then_some(daemon)
    };
    output.lines().filter_map(parse).take(3).collect()
}

/// The command that tells a daemon to reload or restart an app, as the daemon's own user.
pub(super) fn tell_pm2(daemon: &Daemon, verb: &str, app: &str) -> Command {
    tell(PM2_RUN, daemon, verb, app)
}

fn tell(script: &str, daemon: &Daemon, verb: &str, name: &str) -> Command {
    let user = format!("{}:{}", daemon.uid, daemon.gid);
    Command::new(["sh", "-c", script, "sh", &daemon.pid.to_string(), verb, name]).by(user)
}

/// What PM2 7 says, with exit code 1, after it has restarted a cluster-mode app all the same (measured).
pub(super) const PM2_STARTED: &str = "process already started";

/// The exit code of a preset that finds no process of its program.
pub(super) const NO_PROCESS: i64 = 3;

/// The exit code of [`tell_pm2`] when that daemon does not listen.
pub(super) const PM2_NOT_LISTENING: i64 = 4;

fn name(text: &str, what: &'static str, marks: &'static str) -> Result<String, InvalidPresetName> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || marks.contains(c);
    let starts_well = text.starts_with(|c: char| c != '-' && c != '.');
    if starts_well && text.len() <= 128 && text.chars().all(allowed) {
        return Ok(text.to_owned());
    }
    Err(InvalidPresetName(text.escape_debug().take(128).collect(), what, marks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_arguments_and_plain() {
        let argv = |preset| match action(&preset).unwrap() {
            PresetAction::Command(command) => (command.argv, command.user),
            PresetAction::Pm2 { verb, app } => (vec!["pm2".into(), verb.into(), app], None),
            PresetAction::Supervisor(program) => (vec!["supervisorctl".into(), program], None),
        };
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let (systemd, user) = argv(Preset::Systemd("mysql".into()));
        assert_eq!((&systemd[3..], user.as_deref()), (&words(&["sh", "mysql"])[..], Some("0")));
        assert_eq!(argv(Preset::Supervisor("web:*".into())).0, words(&["supervisorctl", "web:*"]));
        assert_eq!(argv(Preset::Pm2Reload("app".into())).0, words(&["pm2", "reload", "app"]));
        assert_eq!(argv(Preset::Pm2Restart("all".into())).0, words(&["pm2", "restart", "all"]));
        assert_eq!(argv(Preset::GunicornReload).0[4], "reload");
        assert_eq!(argv(Preset::GunicornKillWorkers).0[4], "kill");
        assert_eq!(argv(Preset::UvicornReload).0[4], "reload");
        assert_eq!(argv(Preset::UvicornKillWorkers).0[4], "kill");
        for text in ["", "-f", "--help", "a b", "a;b", "$(id)", "a\nb", "a/b", "..", &"x".repeat(129)] {
            assert!(action(&Preset::Systemd(text.into())).is_err(), "{text}");
            assert!(action(&Preset::Pm2Reload(text.into())).is_err(), "{text}");
            assert!(action(&Preset::Supervisor(text.into())).is_err(), "{text}");
        }
    }

    #[test]
    fn daemons_are_numbers_or_nothing() {
        let daemon = |pid, uid, gid| Daemon { pid, uid, gid };
        assert_eq!(daemons("1 1000 1000\n17 0 0\n"), [daemon(1, 1000, 1000), daemon(17, 0, 0)]);
        for text in ["", "1", "1 2", "1 2 x", "1 2 3 4", "-1 0 0", "$(id) 0 0"] {
            assert!(daemons(text).is_empty(), "{text}");
        }
        assert_eq!(daemons(&"1 2 3\n".repeat(9)).len(), 3);
        let command = tell_pm2(&daemon(7, 1000, 1001), "reload", "a");
        assert_eq!(command.user.as_deref(), Some("1000:1001"));
        assert_eq!(command.argv[3..], ["sh", "7", "reload", "a"]);
    }
}
