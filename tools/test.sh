#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# All tests: sets up what they need, then stage by stage. The slower stages come later.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/stage.sh
. tools/stage.sh

bin=.venv/bin
results=$(mktemp -d)
trap 'end_asides; rm -rf "$results"' EXIT

# What needs Python and nothing that pip installs. Modules are compiled here once, not in each process of the tests.
setup_system() {
    tools/setup-system.sh $bin/python || return
    $bin/python -m compileall -q src/remsim tests/doubles || true
}

setup() {
    local status=0
    # The interpreter first: which headers pyscard needs depends on it. The system's packages come while pip is busy.
    tools/setup.sh python || return
    aside system setup_system
    tools/setup.sh check || status=$?
    await_aside system || status=$?
    [ "$status" -eq 0 ] && tools/setup.sh test && characters
}

# Which characters can be encoded: hypothesis works that out once, and not in each process of the tests.
characters() {
    $bin/python -c 'from hypothesis.strategies import text; text().validate()'
}

# tests NAME PYTEST-ARGUMENT… — NAME is that of the file with the times.
tests() {
    local name=$1
    shift
    $bin/python -m pytest -q --junitxml="$results/$name.xml" "$@"
}

stage "set-up" setup
if ! $bin/python -c 'import pytest' 2>/dev/null; then
    all_stages_done "all tests"
    exit 1
fi
stage "format" $bin/ruff format --check --quiet .
stage "lint" $bin/ruff check --quiet .
stage "shell scripts" shellcheck tools/*.sh .ci/run
# These only compute, and look at no clock. They do so while the tests of the other stages wait for programs and clocks.
aside types gently $bin/mypy --no-error-summary src tests tools bench
aside property gently tests property -n 2 --dist worksteal tests/property
rm -rf .coverage && mkdir .coverage
# The slow tests come last: a process that has none left takes some of another's. Some of these wait for a database or a
# clock, and most of the next stage's wait for each other's programs, so there are more processes than processors.
stage "import levels, unit, vectors, contract" \
    tests fast -p tools.measured -n 3 --dist worksteal tests/unit tests/vectors tests/contract
aside coverage gently $bin/python tools/check_coverage.py
# Which process runs which test is said in tests/slowest_first.py.
stage "integration" tests integration -n 3 --dist loadfile tests/integration tests/browser
stage "types" await_aside types
stage "coverage" await_aside coverage
stage "property" await_aside property
stage "slowest tests" $bin/python tools/slowest.py "$results"
all_stages_done "all tests"
