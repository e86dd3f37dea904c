#!/usr/bin/env bash
# Builds what is handed out for Linux: static programs, a tarball with completions and manual pages, a
# Debian package, and their checksums.
#
#   scripts/release.sh [FOLDER]       default: target/dist
#
# The programs are linked statically against musl, so that they run on any distribution:
#   rustup target add x86_64-unknown-linux-musl, and musl-gcc (Debian: musl-tools) for ring
# TCE_TARGET names another target, for example x86_64-unknown-linux-gnu: its programs need that glibc
# or a later one. TCE_PROGRAMS is a folder with programs for it that are built already, which this machine
# can run. TCE_MAINTAINER is the maintainer of the Debian package, by default the author of the
# last commit.
set -euo pipefail
cd "$(dirname "$0")/.."

TARGET="${TCE_TARGET:-x86_64-unknown-linux-musl}"
OUT="$(realpath --canonicalize-missing "${1:-target/dist}")"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"

if [ -z "${TCE_PROGRAMS:-}" ] && ! rustup target list --installed | grep --quiet --line-regexp "$TARGET"; then
    printf 'The target %s is missing.\nTry this: rustup target add %s\n' "$TARGET" "$TARGET" >&2
    exit 1
fi

version="$(cargo pkgid --package tce-cli)"
version="${version##*[#@]}"
machine="${TARGET%%-*}"
name="tce-$version-$machine-linux"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)"
export SOURCE_DATE_EPOCH

built="${TCE_PROGRAMS:-$CARGO_TARGET_DIR/$TARGET/release}"
[ -n "${TCE_PROGRAMS:-}" ] || cargo build --locked --release --target "$TARGET" --bin tce --bin tce-gateway

# The tree that both are made of, as below /usr.
tree="$work/$name"
install -D --strip --target-directory="$tree/bin" "$built/tce" "$built/tce-gateway"
"$built/tce" man "$tree/share/man/man1" 2>/dev/null
complete() { mkdir -p "$(dirname "$tree/share/$2")"; "$built/tce" completions "$1" >"$tree/share/$2"; }
complete bash bash-completion/completions/tce
complete zsh zsh/site-functions/_tce
complete fish fish/vendor_completions.d/tce.fish
install -D --mode=644 --target-directory="$tree/share/doc/tce" README.md CHANGELOG.md LICENSE
install -D --mode=644 --target-directory="$tree/share/doc/tce/examples" gateway/deploy/services.xml gateway/deploy/tce-gateway.service

mkdir -p "$OUT"
tar --create --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
    --directory="$work" "$name" | gzip --no-name --best >"$OUT/$name.tar.gz"

scripts/debian-package.sh "$tree" "$version" "$machine" "$OUT"

cd "$OUT"
sha256sum "$name.tar.gz" "tce_${version}_"*.deb >SHA256SUMS
cat SHA256SUMS
