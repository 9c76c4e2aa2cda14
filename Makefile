# `make demo` and `make test` do everything on a fresh Debian machine with Rust, as root or with sudo.
SHELL := /bin/bash
# scripts/docker-up.sh puts a docker-compose there where Docker has only its plugin.
export PATH := $(PATH):$(CURDIR)/target/bin
# COMPOSE=2: with Compose 2 where docker-compose is the first; scripts/docker-up.sh has it put there.
ifeq ($(COMPOSE),2)
export PATH := $(CURDIR)/target/compose2:$(PATH)
export COMPOSE
endif
.DEFAULT_GOAL := help
# The benchmark suite is a package of its own.
PEERS_CRATE := --manifest-path benches/peers/Cargo.toml --target-dir target/bench/build
.PHONY: help demo install test test-all lint unit corpora attacks fuzz docker stack stacks compose2 docker-newer healing images setup bench micro

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what the build needs and the machine lacks
	@scripts/setup.sh

demo: setup ## build and run the edge on embedded sample backends, without Docker; LISTEN=0.0.0.0:8080 for other machines
	@test -x target/demo/remora || echo "Building the edge. The first time takes 4 to 6 minutes on two cores, later seconds."
	cargo build --profile demo --locked
	@target/demo/remora demo $(if $(LISTEN),--listen $(LISTEN))

install: setup ## build and install the edge, its manual pages and completions; PREFIX=/usr/local, DESTDIR
	@scripts/install.sh

lint: setup ## formatting and lints, as CI wants them
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo fmt --check --manifest-path benches/peers/Cargo.toml
	cargo clippy --locked $(PEERS_CRATE) --all-targets -- -D warnings

unit: setup corpora ## unit tests, and the real executable in front of real sockets, on both lanes
	cargo test --locked
	REMORA_TEST_LANE=full cargo test --locked --test blackbox
	cargo test --locked $(PEERS_CRATE) --quiet
	cargo test --locked --test corpora -- --ignored the_parsers no_vector --nocapture
	REMORA_TEST_LANE=full cargo test --locked --test corpora -- --ignored no_vector --nocapture

corpora: ## fetch the request corpora of gunicorn and llhttp
	@scripts/setup.sh python
	@scripts/corpora.sh

images: ## build every image of the stacks, bases included where they cannot be pulled
	@scripts/images.sh

stack: setup ## end to end in real Docker, on the manager stack; COMPOSE=2 with Compose 2
	@scripts/docker-up.sh
	@QUICK_EDGE=1 scripts/images.sh
	cargo test --locked --test stack -- --ignored --nocapture
	ONLY=gunicorn-slim/frozen cargo test --locked --test healing -- --ignored --nocapture

docker: setup ## each way Docker can fail, in real Docker
	@scripts/docker-up.sh
	@QUICK_EDGE=1 scripts/images.sh
	cargo test --locked --test docker -- --ignored --test-threads=1

docker-newer: setup ## the same and the manager stack with a newer Docker engine, where this machine's is older
	@scripts/docker-up.sh
	@QUICK_EDGE=1 scripts/images.sh
	@scripts/docker-newer.sh --already || { cargo test --locked --no-run --test docker --test stack && \
		scripts/docker-newer.sh cargo test --locked --test docker --test stack -- --ignored --nocapture --test-threads=1; }

STACKS ?= assignment fullstack kubernetes patterns shop swarm tutorial
stacks: setup ## the other stacks of deploy/, in real Docker and a real browser; STACKS='shop swarm' for these alone, COMPOSE=2
	@scripts/setup.sh node python chromium
	@scripts/docker-up.sh
	@QUICK_EDGE=1 scripts/images.sh
	@scripts/browser.sh
	cargo test --locked --test stacks -- --ignored --nocapture --test-threads=1 $(STACKS)

healing: setup ## force sicknesses and take the times; ONLY=gunicorn-pid1/frozen, FAULT_SECONDS, SEED; see docs/benchmarks.md
	@scripts/docker-up.sh
	@scripts/images.sh
	cargo build --release --locked
	HEALING_BINARY=target/release/remora cargo test --locked --test healing -- --ignored --nocapture

FUZZ_SECONDS ?= 3600
fuzz: setup corpora ## fuzz the parsers, FUZZ_SECONDS=3600 each; needs a nightly toolchain
	@cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
	@scripts/seeds.sh
	cargo +nightly fuzz run head -- -max_total_time=$(FUZZ_SECONDS) -max_len=40000
	cargo +nightly fuzz run framing -- -max_total_time=$(FUZZ_SECONDS) -max_len=40000
	cargo +nightly fuzz run translation -- -max_total_time=$(FUZZ_SECONDS) -max_len=40000
	cargo +nightly fuzz run --fuzz-dir fuzz/program walk fuzz/corpus/walk -- -max_total_time=$(FUZZ_SECONDS) -max_len=40000

attacks: setup ## slowhttptest, HTTP/2 floods and WebSocket cases against the edge
	@scripts/setup.sh python slowhttptest
	@scripts/venv.sh tests/attacks/requirements.txt
	cargo test --locked --test attacks -- --ignored --nocapture --test-threads=1

test: lint unit attacks stack docker ## all tests but those that take longer: see test-all

compose2: setup ## the stacks again with Compose 2, where docker-compose is the first
	@scripts/docker-up.sh
	@scripts/compose2.sh --already || $(MAKE) --no-print-directory COMPOSE=2 \
		STACKS='assignment fullstack patterns shop tutorial' stack stacks

test-all: test stacks compose2 docker-newer ## all tests: every stack, both Composes, two Docker engines, HTTP/2 and TLS in every black-box test, forced sicknesses
	for client in http2 tls; do REMORA_TEST_CLIENT=$$client cargo test --locked --test blackbox || exit 1; done
	$(MAKE) --no-print-directory healing

bench: setup ## measure Remora beside other proxies and write benches/RESULTS.md; see docs/benchmarks.md
	@benches/tools
	@benches/run run

micro: setup ## time routing, selection and filters alone
	cargo bench --locked --benches
