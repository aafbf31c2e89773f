#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What `make test` needs outside of .venv: PC/SC with a virtual reader, tools that judge our output, a compiler for
# pyscard. Looks for the things themselves, installs on Debian what is missing, or says what is.
set -euo pipefail
cd "$(dirname "$0")/.."
# Daemons are kept in places that an ordinary user's PATH may lack.
PATH=$PATH:/usr/sbin:/sbin

python=${1:-.venv/bin/python}
packages=()
things=()

# need THING PACKAGE COMMAND… — THING is there if COMMAND succeeds.
need() {
    local thing=$1 package=$2
    shift 2
    if ! "$@" >/dev/null 2>&1; then
        things+=("$thing")
        packages+=("$package")
    fi
}

has() { command -v "$1"; }
has_vpcd() { compgen -G '/usr/lib/pcsc/drivers/serial/libifdvpcd.so*' || compgen -G '/usr/lib/*/pcsc/drivers/serial/libifdvpcd.so*'; }
has_python_h() { "$python" -c 'import pathlib, sys, sysconfig; sys.exit(not (pathlib.Path(sysconfig.get_path("include")) / "Python.h").is_file())'; }
has_winscard_h() { [ -f /usr/include/PCSC/winscard.h ]; }

has_umockdev_typelib() { compgen -G '/usr/lib/*/girepository-1.0/UMockdev-1.0.typelib' || compgen -G '/usr/lib/girepository-1.0/UMockdev-1.0.typelib'; }
has_libusb() { compgen -G '/usr/lib/*/libusb-1.0.so.0' || compgen -G '/lib/*/libusb-1.0.so.0' || compgen -G '/usr/lib/libusb-1.0.so.0'; }

look() {
    packages=() things=()
    need "pcscd (the PC/SC daemon)" pcscd has pcscd
    need "vpcd (a virtual reader for pcscd)" vsmartcard-vpcd has_vpcd
    need "pcsc_scan" pcsc-tools has pcsc_scan
    need "opensc-tool" opensc has opensc-tool
    need "tshark (reads our GSMTAP)" tshark has tshark
    need "curl (the manual's commands are run)" curl has curl
    need "swig (for pyscard)" swig has swig
    need "a C compiler (for pyscard)" gcc has gcc
    need "the C library's headers (for pyscard)" libc6-dev test -f /usr/include/stdio.h
    need "winscard.h (for pyscard)" libpcsclite-dev has_winscard_h
    need "Python.h (for pyscard)" "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-dev" has_python_h
    need "umockdev (emulates USB devices)" umockdev has umockdev-wrapper
    need "umockdev for programs" gir1.2-umockdev-1.0 has_umockdev_typelib
    need "GObject introspection for /usr/bin/python3" python3-gi /usr/bin/python3 -c 'import gi'
    need "libusb-1.0" libusb-1.0-0 has_libusb
    need "systemd-analyze (judges our units)" systemd has systemd-analyze
    need "chromium (the page is tested in it)" chromium has chromium
    need "groff (judges our manual pages)" groff-base has groff
    need "shellcheck" shellcheck has shellcheck
    need "unshare and nsenter" util-linux has nsenter
    need "ip (sets up loopback)" iproute2 has ip
}

look
# Debian has promtool only in a package that starts a Prometheus. One file of that package is enough, beside python.
has_promtool() { has promtool || [ -x .venv/bin/promtool ]; }

download_prometheus() { (cd "$1" && apt-get -qq download prometheus >/dev/null 2>said); }

fetch_promtool() {
    local folder status=0
    folder=$(mktemp -d)
    chmod 755 "$folder"
    echo "setup: fetching promtool (judges our alert rules) out of the package prometheus, 19 MB"
    if download_prometheus "$folder" || { apt-get -qq update >/dev/null 2>&1 && download_prometheus "$folder"; }; then
        mkdir -p .venv/bin
        dpkg-deb --fsys-tarfile "$folder"/prometheus_*.deb | tar -xOf - ./usr/bin/promtool >"$folder/promtool"
        install "$folder/promtool" .venv/bin/promtool || status=1
    else
        cat "$folder/said" >&2
        status=1
    fi
    rm -rf "$folder"
    return $status
}

look
if [ ${#packages[@]} -gt 0 ]; then
    printf 'setup: missing: %s\n' "${things[@]}"
    tools/apt-install.sh "what make test needs" "${packages[@]}"
    look
    if [ ${#packages[@]} -gt 0 ]; then
        printf 'setup: still missing after the installation: %s\n' "${things[@]}" >&2
        exit 1
    fi
fi
if ! has_promtool >/dev/null && ! fetch_promtool; then
    echo "setup: promtool is missing. Put it on the PATH, or into .venv/bin; it is a part of Prometheus." >&2
    exit 1
fi
