#!/usr/bin/env bash
# Installs the packages that the tests need, if they are missing, and runs all checks.
set -euo pipefail
cd "$(dirname "$0")/.."

# RabbitMQ: tests start brokers of their own on free ports; the system's service is not used.
# redis-server: the same, for gateways that share their presence.
# Chromium: for calls over WebSocket from a page, and for the gateway's admin page.
# g++: compiles libFuzzer for the fuzz targets.
# nats-server, valgrind: for the benchmark.
# git: `tce breaking` reads earlier versions of an IDL from it.
# python3, with its module venv: for the runtime for Python.
# openssl: makes the certificates of the tests of Python and TypeScript.
PACKAGES=(rabbitmq-server redis-server chromium g++ nats-server valgrind git python3 python3-venv openssl)

# One folder for all workspaces, so that shared dependencies are built once.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
# Most of the time, tests wait for a broker, a timer or a program.
export RUST_TEST_THREADS=$((2 * $(nproc)))

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

install_cargo_deny() {
    # Without optimization: it runs for two seconds, and is compiled in half of the time.
    command -v cargo-deny >/dev/null || cargo install --debug --locked cargo-deny --version 0.20.2
}

# Debian 12 has an older one: it is not installed here.
check_node() {
    if ! node --eval 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 11) ? 0 : 1)'; then
        printf 'Node.js 20.11 or later is needed, with npm: https://nodejs.org\n' >&2
        exit 1
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
    # With all programs, which tests of other languages start: `cargo build` of some of them alone
    # would select other features, and compile all again.
    step cargo build "${manifest[@]}" --locked --workspace --all-targets
    step cargo test "${manifest[@]}" --locked --workspace
}

# A virtual environment with the packages of the lock. Most tests wait for a broker or a timer, so
# two run at once.
check_python() {
    local venv="$CARGO_TARGET_DIR/python-venv" runtime=runtimes/python
    step python3 -m venv "$venv"
    step "$venv/bin/pip" install --quiet --require-hashes --requirement "$runtime/test-requirements.txt"
    PYTHONPATH="$PWD/$runtime/src" step "$venv/bin/python" -m pytest --numprocesses 2 --dist worksteal "$runtime" services/flow/python
}

check_typescript() {
    step npm --prefix "$1" ci --no-audit --no-fund
    step npm --prefix "$1" test
}

# Every language against every other. The packages of both are there by now.
check_conformance() {
    local npm=runtimes/typescript/node_modules/.bin
    step "$CARGO_TARGET_DIR/debug/tce-conformance"
    step "$npm/tsc" --project conformance/typescript
    (cd conformance/typescript && step "../../$npm/eslint" .)
    MYPYPATH=runtimes/python/src:conformance/python \
        step "$CARGO_TARGET_DIR/python-venv/bin/mypy" --strict conformance/python/testee.py
}

step install_packages
step install_cargo_deny
step check_node
# Without advisories, whose database is downloaded.
step cargo deny --log-level error check licenses bans sources
step ./scripts/check-packages.sh
check_workspace .
check_typescript runtimes/typescript
check_typescript examples/chat-web
check_typescript bench/typescript
check_typescript editors/vscode
# Gateways with several threads.
TCE_TEST_GATEWAY_THREADS=2 step cargo test --locked --workspace --test end_to_end
RUSTDOCFLAGS='-D warnings' step cargo doc --locked --workspace --no-deps
check_python
check_conformance
# Workspaces of their own, so that their dependencies are not part of other builds.
check_workspace bench
check_workspace fuzz
printf '\nAll checks passed.\n'
