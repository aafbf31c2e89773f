# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by check.sh and test.sh: runs the stages of a check one by one, each with its name and time. A stage that
# fails does not keep the next ones from running; all_stages_done, which comes last, names every one that has failed.

# Modules are compiled once, not in each of the many programs that the tests start.
unset PYTHONDONTWRITEBYTECODE

failed_stages=()
check_began=$SECONDS

# stage NAME COMMAND…
stage() {
    local name=$1 began=$SECONDS
    shift
    printf '== %s\n' "$name"
    if "$@"; then
        printf '== %s: %d s\n' "$name" "$((SECONDS - began))"
    else
        printf '== %s: FAILED after %d s\n' "$name" "$((SECONDS - began))" >&2
        failed_stages+=("$name")
    fi
}

declare -A aside_pid=() aside_log=()

# aside NAME COMMAND… — starts it next to the stages that come. `stage … await_aside NAME` is its stage, in which it is
# waited for; what it has said and says is shown there.
aside() {
    local name=$1
    shift
    aside_log[$name]=$(mktemp)
    # In a group of its own, all of which can be ended.
    set -m
    "$@" >"${aside_log[$name]}" 2>&1 &
    set +m
    aside_pid[$name]=$!
}

# gently COMMAND… — for what is done aside: it takes what the others leave of the processors.
gently() {
    renice -n 19 -p "$BASHPID" >/dev/null
    "$@"
}

await_aside() {
    local pid=${aside_pid[$1]} log=${aside_log[$1]} status=0
    tail -n +1 -s 0.1 -f --pid="$pid" "$log"
    wait "$pid" || status=$?
    rm -f "$log"
    unset "aside_pid[$1]" "aside_log[$1]"
    return "$status"
}

# end_asides — for an EXIT trap: ends those that were not waited for.
end_asides() {
    if [ ${#aside_pid[@]} -gt 0 ]; then
        kill -TERM -- "${aside_pid[@]/#/-}" 2>/dev/null || true
        rm -f "${aside_log[@]}"
    fi
}

# all_stages_done WHAT — comes last: its status is that of the whole check.
all_stages_done() {
    local took=$((SECONDS - check_began))
    if [ ${#failed_stages[@]} -eq 0 ]; then
        printf '== %s passed: %d s\n' "$1" "$took"
        return
    fi
    printf '== FAILED after %d s: %d of the stages\n' "$took" "${#failed_stages[@]}" >&2
    printf '==   %s\n' "${failed_stages[@]}" >&2
    return 1
}
