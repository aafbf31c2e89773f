#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The fast part: what needs neither PC/SC nor other processes. tools/setup.sh check comes first.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/stage.sh
. tools/stage.sh

bin=.venv/bin
stage "format" $bin/ruff format --check --quiet .
stage "lint" $bin/ruff check --quiet .
stage "types" $bin/mypy --no-error-summary src tests tools bench
stage "import levels, unit, vectors, property" $bin/python -m pytest -q -n 2 tests/unit tests/vectors tests/property
all_stages_done "the fast part"
