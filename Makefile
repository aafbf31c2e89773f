# SPDX-License-Identifier: Apache-2.0
# Each target sets up what it needs in .venv; afterwards .venv/bin/remsim works.
#
#   make demo     watch a modem's start-up being served by a SIM card somewhere else; ONCE=1 ends by itself
#   make test     all tests; brings pcscd, a virtual reader and tshark on Debian where it may
#   make check    the fast part of them: format, lint, types, import levels, unit, vectors, property
#   make bench    measurements; ARGS are handed on
#   make fuzz     long: property tests at length, guided fuzzing of every parser (ARGS are handed on: --seconds N,
#                 targets), REST from its schema, mutated conversations against the running programs (CONVERSATIONS=N)

.DEFAULT_GOAL := check
.PHONY: demo test check bench fuzz

demo:
	@tools/setup.sh demo
	@.venv/bin/remsim demo $(if $(ONCE),--once) $(ARGS)

test:
	@tools/test.sh

check:
	@tools/setup.sh check
	@tools/check.sh

bench:
	@tools/setup.sh check
	@.venv/bin/python -m bench $(ARGS)

fuzz:
	@tools/setup.sh check
	@.venv/bin/python -m pytest -q --hypothesis-profile=long --timeout=0 -n 2 tests/property
	@.venv/bin/python -m tests.fuzz.guided $(ARGS)
	@.venv/bin/python -m tests.fuzz.rest
	@.venv/bin/python -m tests.fuzz $(CONVERSATIONS)
