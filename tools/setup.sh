#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes .venv with what a target needs, and nothing outside of it.
#
#   tools/setup.sh python   .venv with its interpreter, which tools/setup-system.sh asks
#   tools/setup.sh demo     the programs and the software card; wheels only, no compiler needed
#   tools/setup.sh check    that, and the developers' tools; wheels only, too
#   tools/setup.sh test     that, and pyscard, which is compiled here (tools/setup-system.sh brings the compiler)
#
# The second time it ends at once: a stamp in .venv carries the checksum of what was installed from which file.
# PYTHON names the interpreter to use; else the first of python3, python3.14 … python3.11 that is new enough.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/progress.sh
. tools/progress.sh

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

case ${1:-} in
python) lists=() ;;
demo) lists=(pip demo) ;;
check) lists=(pip check) ;;
test) lists=(pip check native) ;;
*) fail "usage: tools/setup.sh python|demo|check|test" ;;
esac

log=.venv/setup.log

# Nobody is there to answer, and advice to upgrade pip or not to be root is of no use here.
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore PIP_REQUIRE_VIRTUALENV=1
unset PYTHONPATH PYTHONHOME

# is_new_enough INTERPRETER
is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    local candidate
    for candidate in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11; do
        if is_new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer is needed, and none was found (python3 is: $(python3 --version 2>&1 || true))." \
        "On Debian 12 or newer: apt-get install python3 python3-venv. Elsewhere: PYTHON=/path/to/python3 make …"
}

# Debian keeps ensurepip in a package of its own; virtualenv or uv do as well.
make_venv() {
    local python=$1
    say "making .venv with $("$python" --version)"
    rm -rf .venv
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null && ! "$python" -c 'import virtualenv' 2>/dev/null &&
        ! command -v uv >/dev/null; then
        tools/apt-install.sh "python3-venv (to make .venv)" python3-venv
    fi
    if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        watched "setup: making .venv" no_count "$python" -m venv .venv
    elif "$python" -c 'import virtualenv' 2>/dev/null; then
        watched "setup: making .venv" no_count "$python" -m virtualenv --quiet .venv
    elif command -v uv >/dev/null; then
        watched "setup: making .venv" no_count uv venv --quiet --seed --python "$python" .venv
    else
        fail "$python cannot make a virtual environment: its module ensurepip is missing." \
            "Install the package that carries it (Debian: apt-get install python3-venv), or virtualenv."
    fi
}

# run_pip ARGUMENT… — takes the place of the shell that runs it.
run_pip() { exec .venv/bin/python -m pip "$@" >>"$log" 2>&1 </dev/null; }

# install_halves FILE — installs a list with hashes, which names all that its packages need. Two processes have half of
# it each, because pip mostly computes: it reads the whole page of an index about each package, and unpacks. Neither
# compares what it brings with what the other one has not brought yet.
install_halves() {
    local half pids=() status=0
    trap 'kill -TERM "${pids[@]}" 2>/dev/null' TERM
    for half in 0 1; do
        # A package begins at the start of a line; its hashes are in the indented lines that follow.
        awk -v half=$half '/^[A-Za-z0-9]/ { number++ } number % 2 == half' "$1" >".venv/half-$half.txt"
        run_pip install --require-hashes --only-binary :all: --no-deps --no-compile --no-warn-conflicts \
            -r ".venv/half-$half.txt" &
        pids+=($!)
    done
    for half in 0 1; do
        wait "${pids[half]}" || status=$?
    done
    return "$status"
}

no_count() { :; }

# count_packages — how many of the packages of $file pip has found, or passed over as not meant for this machine.
count_packages() {
    local all seen
    all=$(grep -cE '^[A-Za-z0-9._-]+==' "$file" || true)
    seen=$(grep -cE '^(Collecting|Processing|Ignoring) ' "$log" || true)
    echo "package $seen of $all"
}

# install WHAT COUNT COMMAND… — runs COMMAND; what pip has to say is in the log, its end is shown on failure.
install() {
    local what=$1 count=$2
    shift 2
    : >"$log"
    if ! watched "setup: $what" "$count" "$@"; then
        grep -E '^ *(ERROR|error)|Error:|fatal' "$log" | tail -n 12 >&2 || true
        fail "pip could not install this; the whole story is in $log"
    fi
}

# compile_programs — compiles what the programs are made of, also where PYTHONDONTWRITEBYTECODE is set. The rest, which
# belongs to tools, is compiled where it is used first. A file that cannot be compiled is said in the log.
compile_programs() {
    .venv/bin/python - <<'END' | .venv/bin/python -m compileall -q -j 0 -i - >>"$log" 2>&1 || true
import importlib.metadata
import pathlib
import re

for name in re.findall(r"^([A-Za-z0-9._-]+)==", pathlib.Path("requirements/demo.txt").read_text(), re.MULTILINE):
    for distribution in importlib.metadata.distributions(name=name):
        for file in distribution.files or ():
            if file.suffix == ".py":
                print(distribution.locate_file(file))
END
}

checksum() { cat "$@" | sha256sum | cut -d' ' -f1; }

# is_done NAME CHECKSUM
is_done() { [ -f ".venv/done-$1" ] && [ "$(cat ".venv/done-$1")" = "$2" ]; }

install_list() {
    local name=$1 file=requirements/$1.txt sum
    sum=$(checksum "$file")
    if is_done "$name" "$sum"; then
        return
    fi
    say "installing requirements/$name.txt ($(grep -cE '^[A-Za-z0-9._-]+==' "$file") packages)"
    if [ "$name" = pip ]; then
        # The one that comes with an interpreter may need three times as long for what follows.
        install "fetching" no_count run_pip install --require-hashes --only-binary :all: --no-deps --no-compile -r "$file"
    elif [ "$name" = native ]; then
        # Built with the setuptools of check.txt, whose hash is known, and the system's swig.
        install "compiling" no_count run_pip install --require-hashes --no-build-isolation --no-deps -r "$file"
    else
        install "installing" count_packages install_halves "$file"
        watched "setup: compiling the packages" no_count compile_programs
    fi
    echo "$sum" >".venv/done-$name"
    # check.txt holds all of demo.txt, in the same versions.
    if [ "$name" = check ]; then
        checksum requirements/demo.txt >.venv/done-demo
    fi
}

# The package itself, so that .venv/bin/remsim runs what is in src/.
install_project() {
    local sum
    sum=$(checksum pyproject.toml)
    if is_done project "$sum" && [ -x .venv/bin/remsim ]; then
        return
    fi
    say "installing remsim from this folder"
    install "installing remsim" no_count run_pip install --no-deps --no-build-isolation --editable .
    echo "$sum" >.venv/done-project
}

if ! { [ -x .venv/bin/python ] && is_new_enough .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1; }; then
    make_venv "$(find_python)"
fi
for list in "${lists[@]}"; do
    install_list "$list"
done
if [ ${#lists[@]} -gt 0 ]; then
    install_project
fi
