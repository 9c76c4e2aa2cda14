//! What is known to work for a program, as commands. Scripts here are fixed texts; whatever a user wrote is an argument.

use crate::config::model::Preset;
use crate::docker::Command;

/// Gunicorn under a shell alone, for images without procps. `$1` is `reload`, `kill`, or `look`, which does nothing.
///
/// HUP must reach the master only: workers take it for the end (measured: a request in flight is lost). A master is a
/// gunicorn whose parent is none. With `python -m gunicorn` the process is called python, so the arguments are read too.
const GUNICORN: &str = r#"
is_gunicorn() {
    read -r comm <"/proc/$1/comm" || return 1
    case $comm in
        gunicorn*) return 0 ;;
        python* | pypy*) ;;
        *) return 1 ;;
    esac
    tr '\0' '\n' <"/proc/$1/cmdline" | {
        while IFS= read -r word; do
            case $word in gunicorn | */gunicorn | gunicorn.app.wsgiapp) exit 0 ;; esac
        done
        exit 1
    }
}
parent() {
    while read -r key value _; do
        if [ "$key" = PPid: ]; then echo "$value"; return; fi
    done <"/proc/$1/status"
}
all=" " masters="" workers=""
for folder in /proc/[0-9]*; do
    pid=${folder#/proc/}
    if is_gunicorn "$pid" 2>/dev/null; then all="$all$pid "; fi
done
for pid in $all; do
    case $all in
        *" $(parent "$pid" 2>/dev/null) "*) workers="$workers $pid" ;;
        *) masters="$masters $pid" ;;
    esac
done
if [ -z "$masters" ]; then echo "no gunicorn runs here" >&2; exit 3; fi
if [ "$1" = look ]; then
    echo "master$masters${workers:+, workers$workers}"
elif [ "$1" = reload ]; then
    kill -HUP $masters && echo "HUP to master$masters"
elif [ -z "$workers" ]; then
    echo "gunicorn has no workers" >&2; exit 3
else
    kill -KILL $workers && echo "KILL to workers$workers of master$masters"
fi
"#;

/// Prints `pid uid gid` of every PM2 daemon: `God Daemon`, or pm2-runtime, which is one.
const PM2_FIND: &str = r#"
for folder in /proc/[0-9]*; do
    read -r comm <"$folder/comm" || continue
    case $comm in node* | bun* | PM2*) ;; *) continue ;; esac
    case $(tr '\0' ' ' <"$folder/cmdline") in
        "PM2 v"*"God Daemon ("* | *pm2-runtime* | *pm2-docker*) ;;
        *) continue ;;
    esac
    uid="" gid=""
    while read -r key _ value _; do
        case $key in Uid:) uid=$value ;; Gid:) gid=$value ;; esac
    done <"$folder/status"
    echo "${folder#/proc/} $uid $gid"
done 2>/dev/null
"#;

/// `$1` is the daemon's process, `$2` the verb, `$3` the app. Run as the daemon's own user.
///
/// PM2's command line starts a daemon of its own wherever it finds none, so its home is taken from the running daemon and
/// nothing is run unless that one listens there.
const PM2_RUN: &str = r#"
value() {
    tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | while IFS= read -r line; do
        case $line in "$1="*) printf '%s' "${line#*=}"; break ;; esac
    done
}
pid=$1
title=$(tr '\0' ' ' <"/proc/$pid/cmdline")
HOME=$(value HOME)
PM2_HOME=$(value PM2_HOME)
if [ -z "$PM2_HOME" ]; then
    case $title in
        *"God Daemon ("*) PM2_HOME=${title##*God Daemon \(}; PM2_HOME=${PM2_HOME%%\)*} ;;
        *) PM2_HOME=${HOME:-/root}/.pm2 ;;
    esac
fi
PATH="$(value PATH):$PATH:/proc/$pid/cwd/node_modules/.bin"
PM2_DISCRETE_MODE=true NO_COLOR=1
export HOME PM2_HOME PATH PM2_DISCRETE_MODE NO_COLOR
unset FORCE_COLOR
if [ ! -S "$PM2_HOME/rpc.sock" ]; then echo "no PM2 daemon listens in $PM2_HOME" >&2; exit 4; fi
if ! command -v pm2 >/dev/null; then echo "no pm2 command in $PATH" >&2; exit 127; fi
exec pm2 "$2" "$3"
"#;

/// A unit that failed too often refuses to start until that is forgotten.
const SYSTEMD: &str = r#"systemctl reset-failed "$1" >/dev/null 2>&1; exec systemctl restart "$1""#;

/// Why a preset cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a name of {1}: 1 to 128 letters, digits and `{2}`, not starting with `-`")]
pub(super) struct InvalidName(String, &'static str, &'static str);

/// What a preset means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cure {
    /// One command.
    Command(Command),
    /// PM2: the daemon must be found first.
    Pm2 {
        /// `reload` or `restart`.
        verb: &'static str,
        /// The app's name.
        app: String,
    },
}

/// The commands of a preset.
///
/// # Errors
/// When a name has characters that no such name has.
pub(super) fn cure(preset: &Preset) -> Result<Cure, InvalidName> {
    let script = |script: &str, word: &str| Command::new(["sh", "-c", script, "sh", word]);
    let pm2 = |verb, app: &str| Ok(Cure::Pm2 { verb, app: name(app, "a PM2 app", "_.@:-")? });
    match preset {
        Preset::GunicornReload => Ok(Cure::Command(script(GUNICORN, "reload"))),
        Preset::GunicornKillWorkers => Ok(Cure::Command(script(GUNICORN, "kill"))),
        Preset::Pm2Reload(app) => pm2("reload", app),
        Preset::Pm2Restart(app) => pm2("restart", app),
        Preset::Systemd(unit) => {
            let unit = name(unit, "a systemd unit", "_.@:\\-")?;
            Ok(Cure::Command(script(SYSTEMD, &unit).by("0")))
        }
        Preset::Supervisor(program) => {
            let program = name(program, "a supervisor program", "_.:*-")?;
            Ok(Cure::Command(Command::new(["supervisorctl", "restart", &program])))
        }
    }
}

/// The command that tells which processes are Gunicorn's, and ends with an error where there are none.
pub(super) fn look_at_gunicorn() -> Command {
    Command::new(["sh", "-c", GUNICORN, "sh", "look"])
}

/// The command that lists PM2's daemons.
pub(super) fn find_pm2() -> Command {
    Command::new(["sh", "-c", PM2_FIND])
}

/// A running PM2 daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pm2Daemon {
    pid: u32,
    uid: u32,
    gid: u32,
}

/// Reads the answer of [`find_pm2`]. At most three are tried.
pub(super) fn pm2_daemons(output: &str) -> Vec<Pm2Daemon> {
    let parse = |line: &str| {
        let mut numbers = line.split_whitespace().map(|word| word.parse().ok());
        let daemon = Pm2Daemon { pid: numbers.next()??, uid: numbers.next()??, gid: numbers.next()?? };
        numbers.next().is_none().then_some(daemon)
    };
    output.lines().filter_map(parse).take(3).collect()
}

/// The command that tells a daemon to reload or restart an app, as the daemon's own user.
pub(super) fn tell_pm2(daemon: &Pm2Daemon, verb: &str, app: &str) -> Command {
    let user = format!("{}:{}", daemon.uid, daemon.gid);
    Command::new(["sh", "-c", PM2_RUN, "sh", &daemon.pid.to_string(), verb, app]).by(user)
}

/// What PM2 7 says, with exit code 1, after it has restarted a cluster-mode app all the same (measured).
pub(super) const PM2_STARTED: &str = "process already started";

/// The exit code of a preset that finds no process of its program.
pub(super) const NO_PROCESS: i64 = 3;

/// The exit code of [`tell_pm2`] when that daemon does not listen.
pub(super) const PM2_NOT_LISTENING: i64 = 4;

fn name(text: &str, what: &'static str, marks: &'static str) -> Result<String, InvalidName> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || marks.contains(c);
    let starts_well = text.starts_with(|c: char| c != '-' && c != '.');
    if starts_well && text.len() <= 128 && text.chars().all(allowed) {
        return Ok(text.to_owned());
    }
    Err(InvalidName(text.escape_debug().take(128).collect(), what, marks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_arguments_and_plain() {
        let argv = |preset| match cure(&preset).unwrap() {
            Cure::Command(command) => (command.argv, command.user),
            Cure::Pm2 { verb, app } => (vec!["pm2".into(), verb.into(), app], None),
        };
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let (systemd, user) = argv(Preset::Systemd("mysql".into()));
        assert_eq!((&systemd[3..], user.as_deref()), (&words(&["sh", "mysql"])[..], Some("0")));
        assert_eq!(argv(Preset::Supervisor("web:*".into())).0, words(&["supervisorctl", "restart", "web:*"]));
        assert_eq!(argv(Preset::Pm2Reload("app".into())).0, words(&["pm2", "reload", "app"]));
        assert_eq!(argv(Preset::Pm2Restart("all".into())).0, words(&["pm2", "restart", "all"]));
        assert_eq!(argv(Preset::GunicornReload).0[4], "reload");
        assert_eq!(argv(Preset::GunicornKillWorkers).0[4], "kill");
        for text in ["", "-f", "--help", "a b", "a;b", "$(id)", "a\nb", "a/b", "..", &"x".repeat(129)] {
            assert!(cure(&Preset::Systemd(text.into())).is_err(), "{text}");
            assert!(cure(&Preset::Pm2Reload(text.into())).is_err(), "{text}");
            assert!(cure(&Preset::Supervisor(text.into())).is_err(), "{text}");
        }
    }

    #[test]
    fn daemons_are_numbers_or_nothing() {
        let daemon = |pid, uid, gid| Pm2Daemon { pid, uid, gid };
        assert_eq!(pm2_daemons("1 1000 1000\n17 0 0\n"), [daemon(1, 1000, 1000), daemon(17, 0, 0)]);
        for text in ["", "1", "1 2", "1 2 x", "1 2 3 4", "-1 0 0", "$(id) 0 0"] {
            assert!(pm2_daemons(text).is_empty(), "{text}");
        }
        assert_eq!(pm2_daemons(&"1 2 3\n".repeat(9)).len(), 3);
        let command = tell_pm2(&daemon(7, 1000, 1001), "reload", "a");
        assert_eq!(command.user.as_deref(), Some("1000:1001"));
        assert_eq!(command.argv[3..], ["sh", "7", "reload", "a"]);
    }
}
