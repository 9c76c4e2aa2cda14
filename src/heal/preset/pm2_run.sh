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
    for _ in 1 2 3 4 5; do
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
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        process "$last"
        case "$stuck " in *" ${process:-${stuck# }} "*) sleep 0.05 ;; *) echo "KILL to$stuck, whose event loop stood still"; exit 0 ;; esac
    done 2>/dev/null
fi
if ! command -v pm2 >/dev/null; then echo "no pm2 command in $PATH" >&2; exit 127; fi
exec pm2 "$2" "$3"
