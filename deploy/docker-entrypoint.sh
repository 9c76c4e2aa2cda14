#!/bin/sh
# Becomes Remora, never as root.
#
# The image's user is `remora`. A container starts as root (compose: `user: "0"`) for one of two reasons, and is root for
# just as long as this script takes:
# - The Docker socket is mounted: which group may use it differs from host to host, and is looked up here.
# - Certificates or keys are for root only, such as certbot's: a process of its own reads them for the edge, and can
#   do nothing else (README.md, "Keys that only root can read").
# What remains is a process of user `remora`, in that one group, without capabilities and without a way back.
set -eu

# `docker run remora sh` and the like, as with every official image; else the arguments are Remora's.
case ${1:-run} in
    -* | run | check | demo | reload | status | heal | drill | doctor | maintenance | import | sidecar | certificate-reader | completions | man | help) set -- remora "$@" ;;
    *) if ! command -v "$1" >/dev/null 2>&1; then set -- remora "$@"; fi ;;
esac

if [ "$(id -u)" != 0 ]; then
    exec "$@"
fi

groups=--clear-groups
socket=${REMORA_DOCKER_SOCKET:-/var/run/docker.sock}
if [ -S "$socket" ]; then
    groups=--groups=$(stat -L -c %g "$socket")
    case $(stat -L -c %A "$socket") in
        ????rw*) ;;
        *) echo "docker-entrypoint: $socket is not for its group to use; Remora will route but not heal" >&2 ;;
    esac
fi

# Starts the reader with the one capability that lets it read: CAP_DAC_READ_SEARCH (4) where the container has it, else
# CAP_DAC_OVERRIDE (2), which is what Docker gives. Where a file could be written by that too, `ulimit -f 0` lets none grow.
# Returns when it may be asked, or has ended because there is nothing for it to read.
start_reader() {
    has=0x$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)
    if [ $((has & 4)) != 0 ]; then keep=-all,+dac_read_search
    elif [ $((has & 2)) != 0 ]; then keep=-all,+dac_override
    else return 0
    fi
    edge=$(id -u remora):$(id -g remora)
    (
        ulimit -f 0
        exec setpriv --reuid=10002 --regid=10002 --clear-groups --inh-caps="$keep" --ambient-caps="$keep" --no-new-privs -- \
            remora certificate-reader --for "$edge" "$@" </dev/null
    ) &
    reader=$! socket=@remora/certificates/$(readlink /proc/self/ns/mnt) looks=0
    until grep -qF "$socket" /proc/net/unix || [ ! -d "/proc/$reader" ] || [ "$looks" = 250 ]; do
        sleep 0.02
        looks=$((looks + 1))
    done
}

case "${1:-} ${2:-} ${3:-}" in
    "remora run "[!-]* | "remora check "[!-]*) start_reader "$3" ;;
    "remora run " | "remora check ") start_reader ;;
esac
exec setpriv --reuid=remora --regid=remora "$groups" --inh-caps=-all --no-new-privs -- "$@"
