#!/usr/bin/env bash
# Packages the crates that users need, in the order of their dependencies, from the files that git
# tracks. `--verify` also compiles each from its package, which takes minutes.
#
# The crates are in no registry: `publish = false` keeps them from being uploaded by mistake. It is
# lifted in a copy, where cargo then finds each in the packages of the others.
set -euo pipefail
cd "$(dirname "$0")/.."

CRATES=(tce-idl tce-codegen tce-runtime tce-dynamic tce-lsp tce-tasks tce-frame tce-otlp tce-gateway tce-cli)

verify=(--no-verify)
case "${1:-}" in
    '') ;;
    --verify) verify=() ;;
    *) printf 'usage: %s [--verify]\n' "$0" >&2; exit 2 ;;
esac

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z | tar --null --files-from=- --create | tar --extract --directory="$copy"
for manifest in "$copy"/{tce-*,gateway,services/*}/Cargo.toml; do
    sed -i '/^publish\.workspace = true$/d' "$manifest"
done

export CARGO_TARGET_DIR="$copy/target"
packages=()
for crate in "${CRATES[@]}"; do
    packages+=(--package "$crate")
done
# cargo warns that there is no repository and that the tests are left out, as is meant: its words are
# printed only if it fails.
if ! cargo package --manifest-path "$copy/Cargo.toml" "${verify[@]}" "${packages[@]}" 2>"$copy/log"; then
    cat "$copy/log" >&2
    exit 1
fi
for crate in "${CRATES[@]}"; do
    ls "$CARGO_TARGET_DIR/package/$crate"-*.crate >/dev/null
    # Each `include_str!` must find its file in the package.
    tar --extract --gzip --directory="$copy" --file="$(ls "$CARGO_TARGET_DIR/package/$crate"-*.crate)"
    folder=$(ls -d "$copy/$crate"-[0-9]*)
    { grep --recursive --only-matching --include='*.rs' 'include_\(str\|bytes\)!("[^"]*")' "$folder/src" || true; } |
        while IFS= read -r line; do
            file=${line%%:*} path=${line#*\(\"} path=${path%\")}
            if [ ! -e "$(dirname "$file")/$path" ]; then
                printf '%s: %s is not in the package\n' "${file#"$copy/"}" "$path" >&2
                exit 1
            fi
        done
    printf '%s\n' "$(basename "$CARGO_TARGET_DIR/package/$crate"-*.crate)"
done
