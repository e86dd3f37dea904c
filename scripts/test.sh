#!/usr/bin/env bash
# Installs what the tests need, where it is missing, and runs every check there is.
set -euo pipefail
cd "$(dirname "$0")/.."

# Tests start brokers of their own, on free ports; the installed service is not used.
PACKAGES=(rabbitmq-server)

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

# Checks the workspace whose manifest is given.
check_workspace() {
    local manifest=(--manifest-path "$1")
    step cargo fmt "${manifest[@]}" --all --check
    step cargo clippy "${manifest[@]}" --locked --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS='-D warnings' step cargo doc "${manifest[@]}" --locked --workspace --no-deps
    step cargo test "${manifest[@]}" --locked --workspace
}

step install_packages
check_workspace Cargo.toml
# Workspaces of their own: their dependencies weigh on nobody's build.
for manifest in $(grep --files-with-matches --line-regexp --fixed-strings '[workspace]' -- */Cargo.toml); do
    check_workspace "$manifest"
done
printf '\nAll checks passed.\n'
