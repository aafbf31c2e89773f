#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Pins what demo and tests install, with hashes, from pyproject.toml. Run it after a change of the dependencies, or
# with --upgrade to take newer releases; needs uv (a developer's tool, no part of the set-up).
#
#   pip.txt     what installs the others
#   demo.txt    what `make demo` installs: wheels only, no compiler needed
#   check.txt   that and what `make check`, `make bench` and `make fuzz` need: wheels only, too
#   native.txt  what only `make test` needs and what is compiled on the spot: pyscard
set -euo pipefail
cd "$(dirname "$0")/.."

uv=$(command -v uv || echo .venv/bin/uv)
if ! [ -x "$uv" ]; then
    echo "compile-requirements: uv is not there; install it with: .venv/bin/pip install uv" >&2
    exit 1
fi

# compile NAME ARGUMENT… — the file names no registry and no path of this machine.
compile() {
    local name=$1
    shift
    echo "requirements/$name.txt"
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
        --custom-compile-command tools/compile-requirements.sh --output-file "requirements/$name.txt" "$@" pyproject.toml
}

compile demo "$@" --extra sim --extra server --group build
compile check "$@" --extra sim --extra server --extra postgresql --extra pki --extra usb --extra fast --extra top --extra otel \
    --group build --group lint --group test --constraint requirements/demo.txt

# compile_one NAME NEED — a package that needs no other; the base dependencies are left out of this file.
compile_one() {
    local name=$1 need=$2
    shift 2
    echo "requirements/$name.txt"
    sed -n "s/^$need = \\[\"\\(.*\\)\"\\]\$/\\1/p" pyproject.toml | "$uv" pip compile --quiet --universal --python-version 3.11 \
        --generate-hashes --no-emit-index-url --custom-compile-command tools/compile-requirements.sh \
        --output-file "requirements/$name.txt" "$@" -
}

compile_one native pyscard "$@"
compile_one pip pip "$@"
