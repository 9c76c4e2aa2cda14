#!/usr/bin/env bash
# Makes target/venv, where Python tools of the tests live, and installs what the given requirements file lists.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=target/venv
[ -x "$venv/bin/pip" ] || python3 -m venv "$venv"
for wanted in "$@"; do
    installed="$venv/$(echo "$wanted" | tr / -)"
    cmp -s "$wanted" "$installed" && continue
    echo "venv: installing what $wanted lists"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted"
    cp "$wanted" "$installed"
done
