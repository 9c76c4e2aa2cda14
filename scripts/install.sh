#!/usr/bin/env bash
# Builds the edge as it is shipped, and installs it with its manual pages and completions below PREFIX (/usr/local).
# As a user it asks sudo only where PREFIX is not writable; DESTDIR is put before every path, for packages.
set -euo pipefail
cd "$(dirname "$0")/.."
prefix=${PREFIX:-/usr/local}
root=${DESTDIR:-}$prefix

echo "Building the edge. The first time takes 7 to 10 minutes on two cores: all of it is optimised as one program."
cargo build --release --locked
edge=target/release/remora
out=target/install
rm -rf "$out"
mkdir -p "$out"
"$edge" man --to "$out/man1"
for shell in bash zsh fish; do "$edge" completions "$shell" >"$out/$shell"; done

as_root=()
nearest=$root
until [ -e "$nearest" ]; do nearest=$(dirname "$nearest"); done
if [ ! -w "$nearest" ]; then
    command -v sudo >/dev/null || { echo "install: $root is not writable: run as root, install sudo, or set PREFIX" >&2; exit 1; }
    as_root=(sudo)
fi
"${as_root[@]}" install -D -m 755 "$edge" "$root/bin/remora"
"${as_root[@]}" install -D -m 644 -t "$root/share/man/man1" "$out"/man1/*.1
"${as_root[@]}" install -D -m 644 "$out/bash" "$root/share/bash-completion/completions/remora"
"${as_root[@]}" install -D -m 644 "$out/zsh" "$root/share/zsh/site-functions/_remora"
"${as_root[@]}" install -D -m 644 "$out/fish" "$root/share/fish/vendor_completions.d/remora.fish"
echo "installed $root/bin/remora; try: $root/bin/remora demo"
