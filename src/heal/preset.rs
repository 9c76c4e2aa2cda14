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

/// uvicorn under a shell alone. `$1` is `reload`, `kill`, or `look`, which does nothing.
///
/// Only a parent of `--workers` takes HUP; to any other uvicorn it is the end, so who does not handle the signal is not sent it.
/// Its workers carry no name of their own: they are the children that Python's multiprocessing spawned, beside a tracker. The
/// parent starts a new worker, and then waits for the old one for ever and looks after nobody meanwhile (measured: a reload
/// with a blocked event loop), so an old worker that is still there after two seconds without a change is killed.
const UVICORN: &str = r#"
status() {
    while read -r key value _; do
        if [ "$key" = "$2:" ]; then echo "$value"; return; fi
    done <"/proc/$1/status"
}
is_uvicorn() {
    read -r comm <"/proc/$1/comm" || return 1
    case $comm in uvicorn* | fastapi*) return 0 ;; python* | pypy*) ;; *) return 1 ;; esac
    tr '\0' '\n' <"/proc/$1/cmdline" | {
        while IFS= read -r word; do
            case $word in uvicorn | */uvicorn | fastapi | */fastapi) exit 0 ;; esac
        done
        exit 1
    }
}
spawned() {
    read -r comm <"/proc/$1/comm" || return 1
    case $comm in python* | pypy*) ;; *) return 1 ;; esac
    case $(tr '\0' ' ' <"/proc/$1/cmdline") in *"from multiprocessing.spawn import spawn_main"*) return 0 ;; esac
    return 1
}
# HUP, TTIN and TTOU, as uvicorn since 0.30 handles them.
takes_hup() {
    mask=$(status "$1" SigCgt)
    [ "${#mask}" = 16 ] && [ $((0x${mask#????????} & 0x300001)) = $((0x300001)) ]
}
workers() {
    for folder in /proc/[0-9]*; do
        if spawned "${folder#/proc/}" && [ "$(status "${folder#/proc/}" PPid)" = "$parent" ]; then printf '%s ' "${folder#/proc/}"; fi
    done 2>/dev/null
}
parent="" single=""
for folder in /proc/[0-9]*; do
    pid=${folder#/proc/}
    if is_uvicorn "$pid"; then
        if takes_hup "$pid"; then parent=$pid; else single=$pid; fi
    elif spawned "$pid"; then
        # `uvicorn.run(…, workers=4)` in a program of any name.
        above=$(status "$pid" PPid)
        if takes_hup "$above"; then parent=$above; fi
    fi
done 2>/dev/null
if [ -z "$parent" ] && [ -n "$single" ]; then
    echo "uvicorn ($single) runs without --workers, or is older than 0.30: it cannot reload, and HUP would end it" >&2; exit 3
elif [ -z "$parent" ]; then
    echo "no uvicorn runs here" >&2; exit 3
fi
old=$(workers)
if [ "$1" = look ]; then
    echo "parent $parent, workers $old"
elif [ -z "$old" ]; then
    echo "uvicorn has no workers" >&2; exit 3
elif [ "$1" = kill ]; then
    kill -KILL $old && echo "KILL to workers ${old}of parent $parent"
else
    kill -HUP "$parent" || exit 1
    echo "HUP to parent $parent"
    seen=$old quiet=0
    while :; do
        sleep 0.2
        now=$(workers) left=""
        for pid in $old; do case " $now" in *" $pid "*) left="$left $pid" ;; esac; done
        if [ -z "$left" ]; then echo "its workers are new"; exit 0; fi
        if [ "$now" = "$seen" ]; then quiet=$((quiet + 1)); else quiet=0 seen=$now; fi
        if [ "$quiet" -ge 10 ]; then kill -KILL $left && echo "KILL to old workers$left, which did not end"; exit; fi
    done
fi
"#;

/// Prints `pid uid gid` of every supervisord.
const SUPERVISOR_FIND: &str = r#"
for folder in /proc/[0-9]*; do
    read -r comm <"$folder/comm" || continue
    case $comm in supervisord* | python* | pypy*) ;; *) continue ;; esac
    tr '\0' '\n' <"$folder/cmdline" | {
        while IFS= read -r word; do
            case $word in supervisord | */supervisord | supervisor.supervisord) exit 0 ;; esac
        done
        exit 1
    } || continue
    uid="" gid=""
    while read -r key _ value _; do
        case $key in Uid:) uid=$value ;; Gid:) gid=$value ;; esac
    done <"$folder/status"
    echo "${folder#/proc/} $uid $gid"
done 2>/dev/null
"#;

/// `$1` is supervisord's process, `$2` the verb, `$3` the program. Run as supervisord's own user.
///
/// supervisorctl looks for a file of its own in its folder and in `/etc`, and knows nothing of the `-c` that supervisord was
/// started with; the socket is open to supervisord's user alone.
const SUPERVISOR_RUN: &str = r#"
pid=$1 file="" next="" beside=""
set -f
IFS='
'
for word in $(tr '\0' '\n' <"/proc/$pid/cmdline"); do
    if [ -n "$next" ]; then file=$word next=""; fi
    case $word in
        -c | --configuration) next=yes ;;
        --configuration=*) file=${word#*=} ;;
        -c?*) file=${word#-c} ;;
        */supervisord) beside=${word%/*} ;;
    esac
done
unset IFS
cd "/proc/$pid/cwd" 2>/dev/null || cd /
PATH="$PATH${beside:+:$beside}"
export PATH
if ! command -v supervisorctl >/dev/null; then echo "no supervisorctl command in $PATH" >&2; exit 127; fi
exec supervisorctl ${file:+-c "$file"} "$2" "$3"
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
///
/// A process whose event loop stands still cannot end when it is asked to: PM2 waits its whole `kill_timeout` for it, 1.6 s by
/// default, before it kills it. So one of the app's processes that is stopped, or that in five looks within a quarter of a
/// second never waits for events, is killed here at once and PM2 starts it anew, in 0.15 s (measured). Where the kernel does
/// not tell what a process waits for, it is asked politely.
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
status() {
    while read -r key value _; do
        if [ "$key" = "$2:" ]; then echo "$value"; return; fi
    done <"/proc/$1/status"
}
is_stuck() {
    for look in 1 2 3 4 5; do
        waits=""
        case $(status "$1" State) in
            R | T | t) ;;
            S | D)
                IFS= read -r waits <"/proc/$1/wchan"
                case $waits in "" | 0 | *poll*) return 1 ;; esac ;;
            *) return 1 ;;
        esac
        sleep 0.05
    done
} 2>/dev/null
process() { IFS= read -r process <"$1"; }
stuck=""
for file in "$PM2_HOME"/pids/*.pid; do
    name=${file##*/} process=""
    name=${name%.pid}
    if [ "$3" != all ] && [ "$3" != "${name%-*}" ] && [ "$3" != "${name##*-}" ]; then continue; fi
    process "$file"
    case $process in "" | *[!0-9]*) continue ;; esac
    if [ "$(status "$process" PPid)" = "$pid" ] && is_stuck "$process"; then
        kill -KILL "$process" && stuck="$stuck $process" last=$file
    fi
done 2>/dev/null
if [ -n "$stuck" ]; then
    for look in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        process "$last"
        case "$stuck " in *" ${process:-${stuck# }} "*) sleep 0.05 ;; *) echo "KILL to$stuck, whose event loop stood still"; exit 0 ;; esac
    done 2>/dev/null
fi
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
    /// supervisor: the daemon must be found first. The program's name.
    Supervisor(String),
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
        Preset::UvicornReload => Ok(Cure::Command(script(UVICORN, "reload"))),
        Preset::UvicornKillWorkers => Ok(Cure::Command(script(UVICORN, "kill"))),
        Preset::Pm2Reload(app) => pm2("reload", app),
        Preset::Pm2Restart(app) => pm2("restart", app),
        Preset::Systemd(unit) => {
            let unit = name(unit, "a systemd unit", "_.@:\\-")?;
            Ok(Cure::Command(script(SYSTEMD, &unit).by("0")))
        }
        Preset::Supervisor(program) => Ok(Cure::Supervisor(name(program, "a supervisor program", "_.:*-")?)),
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
            Cure::Supervisor(program) => (vec!["supervisorctl".into(), program], None),
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
            assert!(cure(&Preset::Systemd(text.into())).is_err(), "{text}");
            assert!(cure(&Preset::Pm2Reload(text.into())).is_err(), "{text}");
            assert!(cure(&Preset::Supervisor(text.into())).is_err(), "{text}");
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
