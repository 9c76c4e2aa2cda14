#!/bin/sh
# Makes Docker usable on a bare Debian machine: installs what is missing, starts dockerd if nobody answers on its socket,
# and waits for it. Safe to run any number of times; does nothing where Docker already works. Needs root (or sudo).
#
#   scripts/docker-up.sh            then: docker ps, docker-compose up, scripts/images.sh
#   COMPOSE=2 scripts/docker-up.sh  has Compose 2 in target/compose2 as well: see scripts/compose2.sh
set -eu
wait_seconds=${DOCKER_UP_WAIT:-60}
log=${DOCKER_UP_LOG:-/var/log/dockerd.log}

say() { printf 'docker-up: %s\n' "$*" >&2; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
have() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; }
answers() { timeout 5 docker version >/dev/null 2>&1; }

missing=
have docker || missing="$missing docker.io"
answers || have dockerd || missing="$missing docker.io"
have docker-compose || docker compose version >/dev/null 2>&1 || missing="$missing docker-compose"
if have apt-get; then
    have debootstrap || missing="$missing debootstrap"      # images.sh makes its base images with it where none can be pulled
    answers || have iptables || missing="$missing iptables" # only recommended by docker.io, but dockerd does not start without it
fi
if [ -n "$missing" ]; then
    have apt-get || { say "please install:$missing"; exit 1; }
    say "installing$missing"
    as_root env DEBIAN_FRONTEND=noninteractive sh -c "
        apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing" >/dev/null
fi

if ! answers; then
    # A service manager keeps dockerd for good; without one (a container, a minimal machine) it is started here, in a session
    # of its own so that it outlives this shell.
    if [ -d /run/systemd/system ]; then
        say "starting docker.service"
        as_root systemctl start docker
    elif ! pgrep --runstates D,R,S -x dockerd >/dev/null 2>&1; then    # one that is dead but not yet reaped does not count
        say "starting dockerd (its log: $log)"
        # A pid file left by a machine that was switched off would stop the new one.
        as_root sh -c "rm -f /var/run/docker.pid; setsid nohup dockerd >>'$log' 2>&1 </dev/null &"
    fi
    deadline=$(($(date +%s) + wait_seconds))
    until answers; do
        if [ "$(date +%s)" -ge "$deadline" ]; then
            say "dockerd does not answer after $wait_seconds s; the end of $log:"
            as_root tail -n 15 "$log" >&2 || true
            say "if the socket belongs to root: add yourself to the group 'docker', or run this with sudo"
            exit 1
        fi
        sleep 0.3
    done
fi
# The tests and the READMEs say docker-compose; where there is only the newer one, it answers to that name too.
if ! have docker-compose; then
    mkdir -p "${0%/*}/../target/bin"
    printf '#!/bin/sh\nexec docker compose "$@"\n' >"${0%/*}/../target/bin/docker-compose"
    chmod +x "${0%/*}/../target/bin/docker-compose"
fi
[ "${COMPOSE:-}" != 2 ] || "${0%/*}/compose2.sh"
say "docker $(docker version --format '{{.Server.Version}}') answers"
