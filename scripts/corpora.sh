#!/usr/bin/env bash
# Fetches the request corpora that `tests/corpora` replays into target/corpora: gunicorn's, and llhttp's, which aiohttp's
# source distribution carries. pip checks the hashes of tests/corpora/requirements.txt and asks each for its metadata;
# nothing is built or installed.
set -euo pipefail
cd "$(dirname "$0")/.."

wanted=tests/corpora/requirements.txt
folder=target/corpora
cmp -s "$wanted" "$folder/requirements.txt" && exit 0

echo "corpora: fetching"
rm -rf "$folder"
mkdir -p "$folder/sources"
scripts/venv.sh
target/venv/bin/pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: --require-hashes \
    --requirement "$wanted" --dest "$folder/sources"
for source in "$folder"/sources/*.tar.gz; do
    tar --extract --file "$source" --directory "$folder/sources"
done
mv "$folder"/sources/gunicorn-*/tests/requests "$folder/gunicorn"
mv "$folder"/sources/aiohttp-*/vendor/llhttp/test/request "$folder/llhttp"
rm -rf "$folder/sources"
cp "$wanted" "$folder/requirements.txt"
