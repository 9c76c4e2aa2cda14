value() {
    tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | while IFS= read -r line; do
        case $line in "$1="*) printf '%s' "${line#*=}"; break ;; esac
    done
}
status() {
    while read -r key value _; do
        if [ "$key" = "$2:" ]; then echo "$value"; return; fi
    done <"/proc/$1/status"
}
# Node's and Bun's only, and no wrapper of something else: of others it is not known what they wait for when they are well.
is_stuck() {
    exe=$(readlink "/proc/$1/exe") && children=unknown
    case ${exe##*/} in node* | bun*) ;; *) return 1 ;; esac
    IFS= read -r children <"/proc/$1/task/$1/children"
    [ -z "$children" ] || return 1
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        waits=""
        case $(status "$1" State) in
            T | t) return 0 ;;
            R) ;;
            S | D)
                IFS= read -r waits <"/proc/$1/wchan"
                case $waits in "" | 0 | *poll*) return 1 ;; esac ;;
            *) return 1 ;;
        esac
        sleep 0.05
    done
} 2>/dev/null
process() { process=""; IFS= read -r process <"$1"; } 2>/dev/null
# Kills the app's processes that are stuck; true where that were all of it and PM2 has started the last one anew.
kill_stuck() {
    # PM2 writes other marks of a name as `-`, so that two apps could be one here.
    case $1 in *[!a-zA-Z0-9.-]*) return 1 ;; esac
    stuck="" others="" last=""
    for file in "$PM2_HOME"/pids/*.pid; do
        name=${file##*/}
        name=${name%.pid}
        if [ "$1" != all ] && [ "$1" != "${name%-*}" ] && [ "$1" != "${name##*-}" ]; then continue; fi
        process "$file"
        case $process in "" | *[!0-9]*) continue ;; esac
        if [ "$(status "$process" PPid 2>/dev/null)" != "$pid" ]; then continue; fi
        if is_stuck "$process" && kill -KILL "$process"; then stuck="$stuck $process" last=$file; else others=yes; fi
    done
    if [ -z "$stuck" ]; then return 1; fi
    echo "KILL to$stuck, whose event loop is blocked"
    if [ -n "$others" ]; then return 1; fi
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        process "$last"
        case "$stuck " in *" ${process:-${stuck# }} "*) sleep 0.05 ;; *) return 0 ;; esac
    done
    return 1
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
case $2 in reload | restart) if kill_stuck "$3"; then exit 0; fi ;; esac
if ! command -v pm2 >/dev/null; then echo "no pm2 command in $PATH" >&2; exit 127; fi
exec pm2 "$2" "$3"
