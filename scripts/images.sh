#!/bin/bash
# Builds every image of the stacks; run again when nothing has changed, it takes seconds. `make images` calls it.
#
#   scripts/images.sh                      all of them
#   scripts/images.sh bases                only the base images
#   scripts/images.sh backend frontend     only these (of: edge, backend, frontend, database, tests, tutorial, assignment,
#                                          fullstack, shop, stores)
#   scripts/images.sh env                  makes the bases and prints them as VAR=image lines, for `docker-compose build`:
#                                          export $(scripts/images.sh env)
#
# Base images: a variable that is already set (RUST_IMAGE, BASE_IMAGE, PYTHON_IMAGE, NODE_IMAGE, and for the stores
# POSTGRES_IMAGE, REDIS_IMAGE, MONGO_IMAGE) is used as it is. Else the public image, if it is here or can be pulled. Else one made here from Debian's packages and named remora-base/…: it takes
# over this machine's certificate authorities and apt settings, so that a build behind a company's mirror works as well.
#
#   PULL=never            do not try to pull             REBUILD_BASES=1   make the local base images again
#   REMORA_BINARY=FILE    put this ready-built binary into the edge's image instead of compiling in it (minutes saved; it
#                         must have been built for a libc no newer than Debian bookworm's)
#   QUICK_EDGE=1          compile the edge without link-time optimisation, for tests: half the time
#   BUILD_NETWORK=host    the network the build steps use
set -euo pipefail
cd "$(dirname "$0")/.."
export DOCKER_BUILDKIT=0            # the classic builder is in every Docker; nothing here needs more
logs=target/images
mkdir -p "$logs"
network=${BUILD_NETWORK:-host}

say() { printf 'images: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
here() { docker image inspect "$1" >/dev/null 2>&1; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# build NAME TAG docker-build-arguments…: quiet, with the whole log in a file and its end on the screen if it fails.
build() {
    local name=$1 tag=$2 start=$SECONDS
    shift 2
    docker build --network "$network" -t "$tag" "$@" >"$logs/$name.log" 2>&1 ||
        { tail -n 30 "$logs/$name.log" >&2; die "$tag failed; the whole log is in $logs/$name.log"; }
    say "$tag ($((SECONDS - start)) s)"
}

# ── base images ─────────────────────────────────────────────────────────────────────────────────────────────────────────
can_pull=${PULL:-auto}
# base VAR PUBLIC LOCAL: sets and exports VAR.
base() {
    local var=$1 public=$2 local=remora-base/$3
    if [ -n "${!var:-}" ]; then return; fi
    if here "$public"; then
        declare -gx "$var=$public"
    elif here "$local" && [ -z "${REBUILD_BASES:-}" ]; then
        declare -gx "$var=$local"
    elif [ "$can_pull" != never ] && timeout 30 docker manifest inspect "$public" >"$logs/pull.log" 2>&1 &&
        docker pull -q "$public" >"$logs/pull.log" 2>&1; then
        declare -gx "$var=$public"
    else
        [ "$can_pull" = never ] || say "$public cannot be pulled ($(tail -c 200 "$logs/pull.log" | tail -n 1)): making bases here"
        can_pull=never              # one refusal is enough
        "make_${3%%:*}" "$local"
        declare -gx "$var=$local"
    fi
}

make_debian() {
    command -v debootstrap >/dev/null || [ -x /usr/sbin/debootstrap ] || die "debootstrap is missing: run scripts/docker-up.sh"
    local root start=$SECONDS mirror
    root=$(mktemp -d)
    # The mirror this machine's own apt uses for Debian, if it has one; else debootstrap's default.
    mirror=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 2>/dev/null | awk '$1 == "bookworm" { print $2; exit }') || true
    as_root debootstrap --variant=minbase --include=ca-certificates bookworm "$root" ${mirror:+"$mirror"} >"$logs/debian.log" 2>&1 ||
        { tail -n 20 "$logs/debian.log" >&2; die "debootstrap failed"; }
    # This machine's way to the package mirrors: certificate authorities of its own, and apt's Acquire settings.
    local file
    for file in /usr/local/share/ca-certificates/*.crt; do
        if [ -e "$file" ]; then as_root cp "$file" "$root/usr/local/share/ca-certificates/"; fi
    done
    as_root chroot "$root" update-ca-certificates >>"$logs/debian.log" 2>&1
    for file in $(grep -ls '^Acquire::' /etc/apt/apt.conf.d/* || true); do
        grep '^Acquire::' "$file" | as_root tee "$root/etc/apt/apt.conf.d/90host-${file##*/}" >/dev/null
    done
    if [ -n "$mirror" ]; then   # debootstrap knows only the one suite
        printf 'deb %s bookworm main\ndeb %s bookworm-updates main\n' "$mirror" "$mirror" |
            as_root tee "$root/etc/apt/sources.list" >/dev/null
    fi
    # What debian:…-slim leaves out, now and in every later apt-get install.
    printf 'path-exclude /usr/share/%s/*\n' doc man locale info | as_root tee "$root/etc/dpkg/dpkg.cfg.d/slim" >/dev/null
    as_root sh -c "cd '$root' && rm -rf var/cache/apt/* var/lib/apt/lists/* var/log/* usr/share/doc/* usr/share/man/* usr/share/locale/*"
    as_root tar -C "$root" --one-file-system -c . | docker import \
        --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
        --change 'ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt' \
        --change 'ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt' \
        --change 'CMD ["bash"]' - "$1" >/dev/null
    as_root rm -rf --one-file-system "$root"
    say "$1 ($((SECONDS - start)) s)"
}

make_python() {
    build base-python "$1" --build-arg "BASE_IMAGE=$BASE_IMAGE" - <<'END'
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
# In a venv first in PATH, `python` and `pip install` work as in the public image.
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/* \
 && python3 -m venv /opt/python
ENV PATH=/opt/python/bin:${PATH}
CMD ["python3"]
END
}

make_node() {
    # Debian bookworm's own Node is too old for Vite, so this machine's goes in.
    { command -v node && command -v npm; } >/dev/null ||
        die "no Node here to make a base of: install Node 20.19 or newer with npm, or set NODE_IMAGE"
    node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
        die "this machine's Node $(node -v) is too old for Vite (20.19): set NODE_IMAGE"
    local context
    context=$(mktemp -d)
    cp "$(readlink -f "$(command -v node)")" "$context/node"
    cp -r "$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")" "$context/npm"
    cat >"$context/Dockerfile" <<'END'
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends libstdc++6 libatomic1 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 1000 --create-home --shell /bin/bash node
COPY node /usr/local/bin/node
COPY npm /usr/local/lib/node_modules/npm
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && ln -s ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx \
 && npm --version && node --version
CMD ["node"]
END
    build base-node "$1" --build-arg "BASE_IMAGE=$BASE_IMAGE" "$context"
    rm -rf "$context"
}

make_rust() {
    command -v rustc >/dev/null || die "no Rust here to make a base of: install it, or set RUST_IMAGE"
    local sysroot
    sysroot=$(rustc --print sysroot)
    printf '%s\n' 'ARG BASE_IMAGE' 'FROM ${BASE_IMAGE}' \
        'RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc g++ libc6-dev make cmake pkg-config && rm -rf /var/lib/apt/lists/*' \
        'COPY rust /usr/local' \
        'ENV CARGO_HOME=/usr/local/cargo' \
        'RUN cargo --version' >"$logs/Dockerfile.rust"
    tar -c --transform='s,^Dockerfile.rust,Dockerfile,;s,^\./,rust/,' --exclude=./share --exclude=./etc \
        -C "$PWD/$logs" Dockerfile.rust -C "$sysroot" ./bin ./lib ./libexec 2>/dev/null |
        build base-rust "$1" --build-arg "BASE_IMAGE=$BASE_IMAGE" -
}

# What stands in for a public image of a store: scripts/bases/NAME.
make_store() {
    local name=${1#remora-base/}
    name=${name%%:*}
    need_debian
    [ "$name" != mongo ] || need_python
    build "base-$name" "$1" --build-arg "BASE_IMAGE=$BASE_IMAGE" --build-arg "PYTHON_IMAGE=${PYTHON_IMAGE:-}" "scripts/bases/$name"
}
make_postgres() { make_store "$1"; }
make_redis() { make_store "$1"; }
make_mongo() { make_store "$1"; }

need_debian() { base BASE_IMAGE debian:bookworm-slim debian:bookworm; }
need_python() { need_debian; base PYTHON_IMAGE python:3.12-slim python:bookworm; }
need_node() { need_debian; base NODE_IMAGE node:22-slim node:bookworm; }
need_rust() { need_debian; base RUST_IMAGE rust:1-bookworm rust:bookworm; }
stores() { base POSTGRES_IMAGE postgres:17 postgres:bookworm; base REDIS_IMAGE redis:7 redis:bookworm; base MONGO_IMAGE mongo:7 mongo:bookworm; }

# ── the stacks' images; the names are those in deploy/manager/compose.yml ───────────────────────────────────────────────
backend() { need_python; build backend remora-backend:latest --build-arg "PYTHON_IMAGE=$PYTHON_IMAGE" upstreams/backend; }
frontend() {
    need_node
    build frontend-dev remora-frontend:dev --target build --build-arg "NODE_IMAGE=$NODE_IMAGE" upstreams/frontend
    build frontend remora-frontend:latest --build-arg "NODE_IMAGE=$NODE_IMAGE" upstreams/frontend
}
database() { need_debian; build database remora-database:latest --build-arg "BASE_IMAGE=$BASE_IMAGE" upstreams/database; }
tutorial() { need_python; build tutorial remora-tutorial:latest --build-arg "PYTHON_IMAGE=$PYTHON_IMAGE" upstreams/tutorial; }
assignment() { need_node; build assignment remora-assignment-backend:latest --build-arg "NODE_IMAGE=$NODE_IMAGE" upstreams/assignment; }
fullstack() {
    need_python
    need_node
    build fullstack-api remora-fullstack-api:latest --build-arg "PYTHON_IMAGE=$PYTHON_IMAGE" upstreams/fullstack/api
    build fullstack-web remora-fullstack-web:latest --build-arg "NODE_IMAGE=$NODE_IMAGE" upstreams/fullstack/web
}
shop() { need_python; build shop remora-shop:latest --build-arg "PYTHON_IMAGE=$PYTHON_IMAGE" upstreams/shop; }
# What only tests/docker and `make healing` run: Gunicorn and uvicorn without procps; the same with procps, tini, supervisor.
tests() {
    need_python
    local what
    for what in slim programs; do
        build "tests-$what" "remora-test/$what:latest" --target "$what" --build-arg "PYTHON_IMAGE=$PYTHON_IMAGE" tests/docker/images
    done
}
edge() {
    need_debian
    if [ -z "${REMORA_BINARY:-}" ]; then
        need_rust
        local quick=()
        [ -z "${QUICK_EDGE:-}" ] || quick=(--build-arg CARGO_PROFILE_RELEASE_LTO=off --build-arg CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16)
        build edge remora:latest -f deploy/Dockerfile --build-arg "RUST_IMAGE=$RUST_IMAGE" --build-arg "BASE_IMAGE=$BASE_IMAGE" "${quick[@]}" .
        return
    fi
    # The same final stage; in place of the build stage, one that only holds the binary.
    local context
    context=$(mktemp -d)
    cp --parents deploy/docker-entrypoint.sh conf/remora.yaml upstreams/*/upstream.yaml "$context/"
    install -s -m 755 "$REMORA_BINARY" "$context/remora" 2>/dev/null || install -m 755 "$REMORA_BINARY" "$context/remora"
    awk '/^FROM .* AS build$/ { print "FROM ${BASE_IMAGE} AS build\nCOPY remora /out/usr/local/bin/remora"; skip = 1; next }
         /^FROM / { skip = 0 }
         !skip' deploy/Dockerfile >"$context/Dockerfile"
    build edge remora:latest --build-arg "BASE_IMAGE=$BASE_IMAGE" "$context"
    rm -rf "$context"
}

docker version >/dev/null 2>&1 || die "Docker does not answer: run scripts/docker-up.sh"
[ $# -gt 0 ] || set -- backend frontend database edge tests tutorial stores assignment shop fullstack
for what in "$@"; do
    case $what in
    bases) need_debian; need_python; need_node; need_rust ;;
    env)
        need_debian; need_python; need_node; need_rust; stores
        for what in BASE PYTHON NODE RUST POSTGRES REDIS MONGO; do
            what=${what}_IMAGE
            printf '%s=%s\n' "$what" "${!what}"
        done ;;
    backend | frontend | database | edge | tests | tutorial | assignment | fullstack | shop | stores) "$what" ;;
    *) die "unknown image '$what': one of bases, env, backend, frontend, database, edge, tests, tutorial, assignment, fullstack, shop, stores" ;;
    esac
done
