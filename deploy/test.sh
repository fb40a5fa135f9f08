#!/usr/bin/env bash
# Everything that must hold: format, lints, dependency rules, licences, deployment files, every test, those with a real
# Kafka and PostgreSQL too. Installs what is missing.
# Warm it takes minutes; on a new machine most of the time is compiling.
set -euo pipefail
cd "$(dirname "$0")/.."

# Pinned; kept beside the build so that nothing of the machine is changed.
deny_version=0.20.2
tools="${CARGO_TARGET_DIR:-$PWD/target}/tools"

step() { printf '\n== %s\n' "$*" >&2; }

need() { # need COMMAND DEBIAN-PACKAGE
  command -v "$1" >/dev/null && return
  step "installing $2"
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$2"
}

need cc gcc
need make make
# OpenSSL, which is built for librdkafka, is configured by it.
need perl perl
if ! cargo fmt --version >/dev/null 2>&1 || ! cargo clippy --version >/dev/null 2>&1; then
  step "installing rustfmt and clippy"
  rustup component add rustfmt clippy
fi

step "format"
cargo fmt --all --check

step "who may know whom"
deploy/dependencies.sh

step "deployment files"
deploy/check.sh

step "lints, warnings refused"
cargo clippy --locked --workspace --all-targets -- -D warnings

step "licences, bans and sources of dependencies"
if [ "$("$tools/bin/cargo-deny" --version 2>/dev/null)" != "cargo-deny $deny_version" ]; then
  # It has a build directory of its own: its features must not disturb ours.
  CARGO_TARGET_DIR="$tools/build" cargo install --locked --root "$tools" cargo-deny@$deny_version
fi
"$tools/bin/cargo-deny" --locked check bans licenses sources

step "a real Kafka and a real PostgreSQL"
# For these tests alone, and gone at the end, whatever happens.
services="$(mktemp -d "$tools/services.XXXXXX")"
trap 'deploy/services.sh down "$services"' EXIT
deploy/services.sh up "$services"
addresses="$(deploy/services.sh env "$services")"
eval "$addresses"

step "tests"
cargo test --locked --workspace
