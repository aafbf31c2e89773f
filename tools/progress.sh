# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by scripts with long steps: shows how far a step is, on a terminal in one line that is rewritten, elsewhere
# in a line every few seconds.

progress_every_s=5

progress_pid=
progress_is_shown=

# Ctrl-C goes to this shell only: what it started in the background does not hear it.
progress_interrupted() {
    progress_clear
    kill -TERM "$progress_pid" 2>/dev/null || true
    wait "$progress_pid" 2>/dev/null || true
    exit "$1"
}

progress_clear() {
    if [ -n "$progress_is_shown" ]; then
        printf '\r\033[K'
    fi
    progress_is_shown=
}

# watched WHAT COUNT COMMAND… — runs COMMAND, which writes to no terminal, and returns its status. COUNT is a command
# that prints how far it is in a few words, or nothing.
watched() {
    local what=$1 count=$2 began=$SECONDS next=$((SECONDS + progress_every_s)) status=0 line far
    shift 2
    "$@" &
    progress_pid=$!
    trap 'progress_interrupted 130' INT
    trap 'progress_interrupted 143' TERM
    while kill -0 "$progress_pid" 2>/dev/null; do
        far=$($count)
        line="$what: ${far:+$far, }$((SECONDS - began)) s"
        if [ -t 1 ]; then
            printf '\r\033[K%s' "$line"
            progress_is_shown=yes
        elif [ "$SECONDS" -ge "$next" ]; then
            printf '%s\n' "$line"
            next=$((SECONDS + progress_every_s))
        fi
        sleep 0.2
    done
    wait "$progress_pid" || status=$?
    trap - INT TERM
    progress_clear
    return "$status"
}
