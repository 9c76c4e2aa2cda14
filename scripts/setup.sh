#!/usr/bin/env bash
# Installs what building Remora needs and this machine lacks: a C compiler and cmake (for zlib-ng, which Pingora links);
# and what a test needs beyond that, by name: `setup.sh python slowhttptest`.
set -euo pipefail

missing=()
for need in "$@"; do
    case "$need" in
        node)
            node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' 2>/dev/null || {
                echo "setup: Node 20 or newer is missing; install it first: https://nodejs.org" >&2
                exit 1
            } ;;
        python) python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv) ;;
        *) command -v "$need" >/dev/null || missing+=("$need") ;;
    esac
done
command -v cc >/dev/null || missing+=(build-essential)
command -v cmake >/dev/null || missing+=(cmake)
if ! command -v cargo >/dev/null; then
    echo "setup: cargo is missing; install Rust first: https://rustup.rs" >&2
    exit 1
fi
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "setup: run as root or install sudo; missing: ${missing[*]}" >&2; exit 1; }
    as_root=(sudo)
fi
echo "setup: installing ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
