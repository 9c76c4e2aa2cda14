#!/usr/bin/env bash
# Compose 2 beside an older docker-compose, for the stacks' tests: target/compose2/docker-compose, which is the machine's
# own `docker compose` if that is Compose 2, else the one of Debian trixie, unpacked from its package and not installed.
# Does nothing where docker-compose is Compose 2 already.
#
#   scripts/compose2.sh                    then: PATH=$PWD/target/compose2:$PATH docker-compose version
#   scripts/compose2.sh --already          true where docker-compose is Compose 2 already
set -euo pipefail
cd "$(dirname "$0")/.."
suite=trixie
folder=$PWD/target/compose2

say() { printf 'compose2: %s\n' "$*" >&2; }
# The version without its `v`; nothing where there is none.
version() { "$@" version --short 2>/dev/null | sed -n 's/^v\{0,1\}\([0-9][0-9.]*\).*/\1/p'; }
is_2() { [ -n "$1" ] && [ "${1%%.*}" -ge 2 ]; }

own=$(version docker-compose || true)
if is_2 "$own" && [ "$(command -v docker-compose)" != "$folder/docker-compose" ]; then
    say "docker-compose is $own already"
    exit 0
fi
[ "${1:-}" != --already ] || exit 1

mkdir -p "$folder"
if is_2 "$(version docker compose || true)"; then
    printf '#!/bin/sh\nexec docker compose "$@"\n' >"$folder/docker-compose"
    chmod +x "$folder/docker-compose"
elif ! is_2 "$(version "$folder/docker-compose" || true)"; then
    command -v apt-get >/dev/null || { say "please install Compose 2"; exit 1; }
    # The mirror of this machine's own apt, and a state of apt's own, so that the machine's packages stay as they are.
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'ORIGIN: Debian' 'LABEL: Debian' 'COMPONENT: main' 2>/dev/null | head -n 1)
    [ -n "$mirror" ] || { say "apt knows no Debian mirror: please install Compose 2"; exit 1; }
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    apt=$(mktemp -d)
    trap 'rm -rf "$apt"' EXIT
    chmod 755 "$apt"
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    printf 'deb %s%s %s main\n' "$([ ! -e $keys ] || echo "[signed-by=$keys] ")" "$mirror" "$suite" >"$apt/sources.list"
    options=(-qq -o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$apt/lists"
        -o "Dir::Cache=$apt/cache" -o Dir::State::Status=/dev/null -o APT::Sandbox::User=root)
    say "fetching docker-compose of Debian $suite"
    apt-get "${options[@]}" update
    (cd "$apt" && apt-get "${options[@]}" download docker-compose)
    dpkg-deb --fsys-tarfile "$apt"/docker-compose_*.deb |
        tar -xO ./usr/libexec/docker/cli-plugins/docker-compose >"$folder/fetched"
    chmod +x "$folder/fetched"
    mv "$folder/fetched" "$folder/docker-compose"
fi
found=$(version "$folder/docker-compose")
is_2 "$found" || { say "target/compose2/docker-compose does not run"; exit 1; }
say "target/compose2/docker-compose is $found"
