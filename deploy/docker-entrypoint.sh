#!/bin/sh
# Becomes Remora, never as root.
#
# The image's user is `remora`. Only where the Docker socket is mounted does the container have to start as root (compose:
# `user: "0"`), for just as long as it takes to learn which group may use that socket: its number differs from host to host.
# What remains is a process of user `remora`, in that one group, without capabilities and without a way back.
set -eu

# `docker run remora sh` and the like, as with every official image; else the arguments are Remora's.
case ${1:-run} in
    -* | run | check | demo | reload | status | heal | drill | doctor | maintenance | import | sidecar | completions | man | help) set -- remora "$@" ;;
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
exec setpriv --reuid=remora --regid=remora "$groups" --inh-caps=-all --no-new-privs -- "$@"
