#!/usr/bin/env bash
# Installs what the tests need, where it is missing, and runs every check there is.
set -euo pipefail
cd "$(dirname "$0")/.."

# RabbitMQ: tests start brokers of their own, on free ports; the service is not used.
# Chromium: the browser that calls by WebSocket and shows the gateway's page.
# g++: libFuzzer, under the fuzz targets.
# git: earlier versions of an IDL come from it.
PACKAGES=(rabbitmq-server chromium g++ git)

# One folder for all workspaces, so that what they share is built once.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

is_installed() {
    [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

install_packages() {
    local package missing=()
    for package in "${PACKAGES[@]}"; do
        is_installed "$package" || missing+=("$package")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        as_root apt-get -o Acquire::Retries=3 update
        as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get -o Acquire::Retries=3 install --yes --no-install-recommends "${missing[@]}"
    fi
}

step() {
    printf '\n== %s\n' "$*"
    "$@"
}

check_workspace() {
    local manifest=(--manifest-path "$1/Cargo.toml")
    step cargo fmt "${manifest[@]}" --all --check
    step cargo clippy "${manifest[@]}" --locked --workspace --all-targets -- -D warnings
    step cargo test "${manifest[@]}" --locked --workspace
}

step install_packages
check_workspace .
# How long an editor waits says something in an optimized build alone.
step cargo test --locked --release -p tce-lsp --test session speed
RUSTDOCFLAGS='-D warnings' step cargo doc --locked --workspace --no-deps
# Workspaces of their own: what they depend on weighs on nobody's build.
check_workspace bench
check_workspace fuzz
printf '\nAll checks passed.\n'
