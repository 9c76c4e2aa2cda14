#!/usr/bin/env bash
# Installs what drives the browser of the tests (tests/stacks/browser) into target/browser. The browser itself is Debian's
# Chromium: scripts/setup.sh chromium.
set -euo pipefail
cd "$(dirname "$0")/.."

wanted=tests/stacks/browser
folder=target/browser
cmp -s "$wanted/package-lock.json" "$folder/node_modules/installed-lock.json" && exit 0

command -v npm >/dev/null || { echo "browser: npm is missing; install Node 20 or newer" >&2; exit 1; }
echo "browser: installing what $wanted/package-lock.json lists"
mkdir -p "$folder"
cp "$wanted"/{package.json,package-lock.json,.npmrc} "$folder/"
npm ci --prefix "$folder" --no-progress --loglevel=error
cp "$wanted/package-lock.json" "$folder/node_modules/installed-lock.json"
