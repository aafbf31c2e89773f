#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs Debian packages if that is allowed here, and else says precisely what to do.
#
#   tools/apt-install.sh REASON PACKAGE…
#
# Allowed means: apt-get is there and we are root, or sudo asks for no password. Packages that are there are not
# upgraded.
set -euo pipefail

reason=$1
shift

sudo=()
if ! command -v apt-get >/dev/null; then
    printf 'missing: %s\n' "$reason" "No apt-get here; install what corresponds to Debian's packages: $*" >&2
    exit 1
elif [ "$(id -u)" -ne 0 ]; then
    sudo=(sudo -n)
    if ! sudo -n true 2>/dev/null; then
        printf 'missing: %s\n' "$reason" "Install it, then try again: sudo apt-get install $*" >&2
        exit 1
    fi
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# No questions: tshark would like to know who may capture.
apt() {
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@" </dev/null >"$log" 2>&1
}

# Package lists may be absent or too old to find the files: try with what is there, then with new ones.
printf 'setup: apt-get install %s\n' "$*"
if ! apt install --no-install-recommends --no-upgrade -y "$@"; then
    if ! { apt update && apt install --no-install-recommends --no-upgrade -y "$@"; }; then
        tail -n 12 "$log" >&2
        printf 'missing: %s\n' "$reason" "apt-get could not install: $*" >&2
        exit 1
    fi
fi
