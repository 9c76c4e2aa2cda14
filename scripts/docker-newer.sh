#!/usr/bin/env bash
# Runs a command beside a newer Docker engine than this machine's: Debian trixie's (26.1, API 1.45), with the images that
# are here. The engine and the command have a root, processes, mounts and a network of their own, so this machine's Docker,
# firewall and packages stay as they are, and everything ends with the command. Needs root, debootstrap and 3 GB in target/.
#
#   scripts/docker-newer.sh cargo test --locked --test docker -- --ignored --test-threads=1
#   scripts/docker-newer.sh --already      true where this machine's engine is as new: its tests have been run with it
#
# What the command needs must have been built before: there is no compiler beside the engine, and no way out to a network.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd -P)
suite=trixie newer=26
place=$here/target/newer
root=$place/root

say() { printf 'docker-newer: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# ── beside the engine, as the first process of its own processes ────────────────────────────────────────────────────────
if [ "${1:-}" = --inside ]; then
    shift
    work=$PWD
    mount --bind "$root" "$root"
    cd "$root"
    mount -t proc proc proc
    mount -t sysfs sysfs sys
    mount --rbind /sys/fs/cgroup sys/fs/cgroup
    mount --rbind /dev dev
    mount -t tmpfs tmpfs run
    # At the same places as outside: what the command reads, and what it has mounted into containers.
    for shared in /tmp "$here" "$work" "${CARGO_HOME:-$HOME/.cargo}" "${RUSTUP_HOME:-$HOME/.rustup}"; do
        [ -d "$shared" ] || continue
        mkdir -p ".$shared"
        mountpoint -q ".$shared" || mount --bind "$shared" ".$shared"
    done
    pivot_root . mnt
    cd /
    umount -l /mnt
    ip link set lo up
    # Names that no container has do not exist, as a name server would say; there is none to ask here.
    dnsmasq --no-resolv --no-hosts --address=/#/ --listen-address=127.0.0.1 --bind-interfaces --pid-file=/run/dnsmasq.pid
    echo nameserver 127.0.0.1 >/etc/resolv.conf

    unset DOCKER_HOST DOCKER_CONTEXT
    dockerd --data-root "$place/data" --cgroup-parent /remora-newer >"$place/dockerd.log" 2>&1 &
    engine=$!
    for _ in $(seq 200); do
        docker version >/dev/null 2>&1 && break
        kill -0 $engine 2>/dev/null || break
        sleep 0.3
    done
    docker version >/dev/null 2>&1 || { tail -n 15 "$place/dockerd.log" >&2; die "dockerd does not answer"; }
    if ! cmp -s "$place/images" "$place/loaded"; then
        docker load -q -i "$place/images.tar" >/dev/null
        cp "$place/images" "$place/loaded"
    fi
    rm -f "$place/images.tar"
    say "$(docker version --format 'docker {{.Server.Version}} with API {{.Server.APIVersion}} answers')"
    cd "$work"
    result=0
    "$@" || result=$?
    kill $engine
    wait $engine || true
    exit "$result"
fi

# ── on the machine ──────────────────────────────────────────────────────────────────────────────────────────────────────
version=$(docker version --format '{{.Server.Version}}' 2>/dev/null) || die "Docker does not answer: run scripts/docker-up.sh"
if [ "${version%%.*}" -ge "$newer" ]; then
    say "docker is $version already"
    [ "${1:-}" = --already ] && exit 0
    exec "$@"
fi
[ "${1:-}" != --already ] || exit 1
[ $# -gt 0 ] || die "name a command"
[ "$(id -u)" = 0 ] || die "this needs root"
PATH=$PATH:/usr/sbin:/sbin
command -v debootstrap >/dev/null || die "debootstrap is missing: run scripts/docker-up.sh"
mkdir -p "$place"
exec 8>"$place/lock"
flock -n 8 || die "another one runs in $place"

if [ ! -e "$place/root-is-made" ]; then
    rm -rf --one-file-system "$root"
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'ORIGIN: Debian' 'LABEL: Debian' 'COMPONENT: main' 2>/dev/null | head -n 1) || true
    say "making Debian $suite with docker.io: two minutes, the first time"
    debootstrap --variant=minbase --include=docker.io,docker-cli,docker-compose,iptables,iproute2,procps,dnsmasq-base,ca-certificates \
        "$suite" "$root" ${mirror:+"$mirror"} >"$place/debootstrap.log" 2>&1 ||
        { tail -n 20 "$place/debootstrap.log" >&2; die "debootstrap failed"; }
    rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
    touch "$place/root-is-made"
fi

# The images that the tests of Docker and the manager stack run.
images=(remora:latest remora-frontend:latest remora-backend:latest remora-database:latest
    remora-test/slim:latest remora-test/programs:latest)
for debian in remora-base/debian:bookworm debian:bookworm-slim; do
    if docker image inspect "$debian" >/dev/null 2>&1; then images+=("$debian"); fi
done
docker image inspect --format '{{.Id}} {{.RepoTags}}' "${images[@]}" >"$place/images" || die "run scripts/images.sh first"
if ! cmp -s "$place/images" "$place/loaded"; then
    say "copying images"
    docker save -o "$place/images.tar" "${images[@]}"
fi

result=0
unshare --mount --propagation private --net --pid --fork --kill-child "$0" --inside "$@" || result=$?
# What is left of the containers' groups is empty now.
find /sys/fs/cgroup -depth -type d -path '*/remora-newer*' -exec rmdir {} + 2>/dev/null || true
exit "$result"
