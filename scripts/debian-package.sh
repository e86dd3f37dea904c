#!/usr/bin/env bash
# Makes a Debian package of a tree that `release.sh` has built.
#
#   scripts/debian-package.sh TREE VERSION MACHINE FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."

tree="$1" version="$2" machine="$3" out="$4"
case "$machine" in
    x86_64) architecture=amd64 ;;
    aarch64) architecture=arm64 ;;
    *) printf 'no name of Debian for the architecture %s\n' "$machine" >&2; exit 1 ;;
esac
maintainer="${TCE_MAINTAINER:-$(git log -1 --format='%an <%ae>')}"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
package="$work/package"
mkdir -p "$package/usr" "$package/DEBIAN"
cp --recursive "$tree/." "$package/usr"

# Where Debian has these.
share="$package/usr/share"
mkdir -p "$share/zsh/vendor-completions" "$package/usr/lib/systemd/system"
mv "$share/zsh/site-functions/_tce" "$share/zsh/vendor-completions/_tce"
rmdir "$share/zsh/site-functions"
sed 's#/usr/local/bin/#/usr/bin/#; /^# \/etc\/systemd/s#/etc/systemd/system#/usr/lib/systemd/system#' \
    gateway/deploy/tce-gateway.service >"$package/usr/lib/systemd/system/tce-gateway.service"
rm "$share/doc/tce/examples/tce-gateway.service" "$share/doc/tce/LICENSE"
printf 'tce (%s) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- %s  %s\n' \
    "$version" "$maintainer" "$(git log -1 --format=%cD)" >"$share/doc/tce/changelog"
gzip --no-name --best "$share/man/man1/"*.1 "$share/doc/tce/"{changelog,CHANGELOG.md}
{
    printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n'
    printf 'Upstream-Name: tce\n\nFiles: *\n'
    printf 'Copyright: %s\nLicense: MIT\n' "$(sed -n 's/^Copyright (c) //p' LICENSE)"
    # The text, indented, with a dot in empty lines.
    sed -n '/^Permission/,$p' LICENSE | sed 's/^$/./; s/^/ /'
} >"$share/doc/tce/copyright"

# Static programs need nothing; others the glibc whose newest symbols they use.
depends=''
if readelf --dynamic "$package/usr/bin/tce" | grep --quiet NEEDED; then
    glibc="$(objdump --dynamic-syms "$package/usr/bin/"* | grep --only-matching 'GLIBC_[0-9.]*' | sort --version-sort | tail --lines=1)"
    depends="Depends: libc6 (>= ${glibc#GLIBC_}), libgcc-s1
"
fi

cat >"$package/DEBIAN/control" <<CONTROL
Package: tce
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Section: devel
Priority: optional
Installed-Size: $(du --summarize --apparent-size --block-size=1024 "$package/usr" | cut --fields=1)
${depends}Suggests: rabbitmq-server, redis-server
Description: IDL compiler, gateway and tools for TCE remote procedure calls
 tce compiles an interface definition into Rust, Python and TypeScript, checks
 and formats it, and calls and measures servers from the command line.
 tce-gateway accepts clients over TCP, TLS and WebSocket, and forwards their
 calls to servers by sockets or message queues.
 .
 The gateway is not started by the installation: write /etc/tce/services.xml,
 then enable the service tce-gateway.
CONTROL

# The unit is not enabled: without a configuration it would only fail.
cat >"$package/DEBIAN/postinst" <<'SCRIPT'
#!/bin/sh
set -e
if [ "$1" = configure ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    # A newer program takes over from one that runs.
    [ -z "$2" ] || deb-systemd-invoke try-restart tce-gateway.service
fi
SCRIPT
cat >"$package/DEBIAN/prerm" <<'SCRIPT'
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    deb-systemd-invoke stop tce-gateway.service
    deb-systemd-helper disable tce-gateway.service
fi
SCRIPT
cat >"$package/DEBIAN/postrm" <<'SCRIPT'
#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
fi
SCRIPT
find "$package" -type d -exec chmod 755 {} +
chmod 755 "$package/DEBIAN/"{postinst,prerm,postrm} "$package/usr/bin/"*
find "$package/usr/share" "$package/usr/lib" -type f -exec chmod 644 {} +
(cd "$package" && find usr -type f -print0 | sort --zero-terminated | xargs --null md5sum) >"$package/DEBIAN/md5sums"
# Its files have the time of SOURCE_DATE_EPOCH.
dpkg-deb --root-owner-group --build "$package" "$out/tce_${version}_$architecture.deb" >/dev/null
