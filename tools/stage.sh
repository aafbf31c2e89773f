# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by check.sh and test.sh: runs the stages of a check one by one, each with its name and time.

stage_failed() {
    printf '== %s: FAILED after %d s\n' "$1" "$((SECONDS - $2))" >&2
    exit 1
}

# stage NAME COMMAND…
stage() {
    local name=$1 began=$SECONDS
    shift
    printf '== %s\n' "$name"
    "$@" || stage_failed "$name" "$began"
    printf '== %s: %d s\n' "$name" "$((SECONDS - began))"
}
