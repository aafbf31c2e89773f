#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# All tests: sets up what they need, then stage by stage. The slower stages come later.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/stage.sh
. tools/stage.sh

bin=.venv/bin
began=$SECONDS

setup() {
    # The interpreter first, the system's packages next: which headers pyscard needs depends on the interpreter.
    tools/setup.sh check && tools/setup-system.sh $bin/python && tools/setup.sh test
}

# measured PYTEST-ARGUMENT… — with coverage, of subprocesses, too.
measured() {
    $bin/python -m coverage run -m pytest -q "$@"
}

coverage_gate() {
    $bin/python -m coverage combine --quiet && $bin/python tools/check_coverage.py
}

stage "set-up" setup
stage "format" $bin/ruff format --check --quiet .
stage "lint" $bin/ruff check --quiet .
stage "shell scripts" shellcheck tools/*.sh .ci/run
stage "types" $bin/mypy --no-error-summary src tests tools bench
rm -rf .coverage && mkdir .coverage
stage "import levels, unit, vectors, property, contract" \
    measured -n 2 tests/unit tests/vectors tests/property tests/contract
# A file stays in one process: what its tests share is made once.
stage "integration" measured -n 2 --dist loadfile tests/integration
stage "coverage" coverage_gate
printf '== all tests passed: %d s\n' "$((SECONDS - began))"
