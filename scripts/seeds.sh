#!/usr/bin/env bash
# Makes the fuzzer's corpus, fuzz/corpus, from the request corpora. Then: cargo +nightly fuzz run head, or framing.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/corpora.sh
cargo test --locked --quiet --test corpora -- --ignored seeds_are_written
