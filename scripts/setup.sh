#!/usr/bin/env bash
# Installs what building Remora needs and this machine lacks: a C compiler and cmake (for zlib-ng, which Pingora links),
# git and curl; and what a test needs beyond that, by name: `setup.sh python slowhttptest`. What it cannot install, such
# as a newer Rust, it names with the command that does.
set -euo pipefail
cd "$(dirname "$0")/.."

# `is_older 1.85.1 1.90`
is_older() { [ "$1" != "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }
fail() { printf 'setup: %s\n' "$@" >&2; exit 1; }

missing=()
for need in "$@"; do
    case "$need" in
        node)
            node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' 2>/dev/null ||
                fail "Node 20 or newer is missing; install it first: https://nodejs.org" ;;
        python) python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv) ;;
        *) command -v "$need" >/dev/null || missing+=("$need") ;;
    esac
done
command -v cc >/dev/null || missing+=(build-essential)
for tool in cmake git curl; do command -v "$tool" >/dev/null || missing+=("$tool"); done

if ! command -v cargo >/dev/null; then
    [ ! -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ] ||
        fail "cargo is installed but not in PATH; run: . \"${CARGO_HOME:-$HOME/.cargo}/env\""
    fail "cargo is missing; install Rust first: https://rustup.rs"
fi
wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
found=$(rustc --version 2>/dev/null | cut -d ' ' -f 2 | cut -d - -f 1) || true
if [ -z "$found" ]; then
    fail "cargo is here, but rustc does not run; run: rustup default stable"
elif is_older "$found" "$wanted"; then
    command -v rustup >/dev/null && fail "Rust $found is too old, $wanted or newer is needed; run: rustup update stable"
    fail "Rust $found is too old, $wanted or newer is needed; install it from https://rustup.rs"
fi
[ ${#missing[@]} -eq 0 ] && exit 0

command -v apt-get >/dev/null || fail "please install: ${missing[*]} (there is no apt-get here to do it)"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "run as root or install sudo; missing: ${missing[*]}"
    as_root=(sudo)
fi
echo "setup: installing ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
