#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs Debian packages if that is allowed here, and else says precisely what to do.
#
#   tools/apt-install.sh REASON PACKAGE…
#
# Allowed means: apt-get is there and we are root, or sudo asks for no password. Packages that are there are not
# upgraded.
set -euo pipefail
# shellcheck source=tools/progress.sh
. "$(dirname "$0")/progress.sh"

reason=$1
shift

# refuse HOW
refuse() {
    printf 'setup: %s is missing and cannot be installed from here.\n%s\n' "$reason" "$1" >&2
    exit 1
}

sudo=()
if ! command -v apt-get >/dev/null; then
    refuse "There is no apt-get. Install what corresponds to these packages of Debian: $*"
elif [ "$(id -u)" -ne 0 ]; then
    sudo=(sudo -n)
    if ! sudo -n true 2>/dev/null; then
        refuse "Run this as root, then try again: apt-get install $*"
    fi
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# No questions: tshark would like to know who may capture. Takes the place of the shell that runs it.
run_apt() {
    exec "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@" </dev/null >"$log" 2>&1
}

# count_steps — how many packages are unpacked and set up so far.
count_steps() {
    local unpacked ready
    unpacked=$(grep -c '^Unpacking ' "$log" || true)
    ready=$(grep -c '^Setting up ' "$log" || true)
    if [ "$unpacked" -gt 0 ]; then
        echo "$unpacked packages unpacked, $ready set up"
    fi
}

apt() { watched "setup: apt-get $1" count_steps run_apt "$@"; }

# Package lists may be absent or too old to find the files: try with what is there, then with new ones.
printf 'setup: apt-get install %s\n' "$*"
if ! apt install --no-install-recommends --no-upgrade -y "$@"; then
    if ! { apt update && apt install --no-install-recommends --no-upgrade -y "$@"; }; then
        tail -n 12 "$log" >&2
        refuse "apt-get failed on: $*"
    fi
fi
