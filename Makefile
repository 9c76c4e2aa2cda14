# `make demo` and `make test` do everything on a fresh Debian machine with Rust, as root or with sudo.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test lint unit stack images setup bench

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what the build needs and the machine lacks
	@scripts/setup.sh

demo: setup ## build and run the edge on embedded sample backends, without Docker
	cargo run --release --locked --quiet -- demo

lint: setup ## formatting and lints, as CI wants them
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings

unit: setup ## unit tests and the real executable in front of real sockets
	cargo test --locked

images: ## build every image of the stacks, bases included where they cannot be pulled
	@scripts/images.sh

stack: setup ## end to end in real Docker, on the manager stack
	@scripts/docker-up.sh
	@scripts/images.sh
	cargo test --locked --test docker -- --ignored --test-threads=1
	cargo test --locked --test stack -- --ignored --nocapture

test: lint unit stack ## all tests
