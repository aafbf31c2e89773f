# SPDX-License-Identifier: Apache-2.0
"""No regular expression takes more than linear work for any text: what others send goes through many of them."""

import ast
import itertools
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.doubles.backtracking import ENOUGH, signs_of, steps

SOURCES = Path(__file__).parents[2] / "src" / "remsim"
CALLS = {"compile", "match", "fullmatch", "search", "sub", "findall", "finditer", "split"}
SEARCHING = {"search", "sub", "findall", "finditer", "split"}
#: Files without it are not parsed: that would take seconds in each process that collects tests.
MENTIONED = re.compile(rf"\bre\s*\.\s*({'|'.join(sorted(CALLS))})\b")
SHORT, LONG = 20, 80


@dataclass(frozen=True)
class Found:
    """A pattern in the sources."""

    place: str
    pattern: str | bytes
    flags: int
    searches: bool


def patterns() -> Iterator[Found]:
    for path in sorted(SOURCES.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if MENTIONED.search(text) is None:
            continue
        nodes = list(ast.walk(ast.parse(text)))
        names = {
            id(node.value): ast.unparse(node.target if isinstance(node, ast.AnnAssign) else node.targets[0])
            for node in nodes
            if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Call)
        }
        for node in nodes:
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CALLS):
                continue
            if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "re" and node.args):
                continue
            pattern = node.args[0]
            if not isinstance(pattern, ast.Constant):
                continue  # an expression of the operator's own, who runs the program
            flags = 0
            for argument in (*node.args[1:], *(word.value for word in node.keywords)):
                for part in ast.walk(argument):
                    if isinstance(part, ast.Attribute) and part.attr.isupper():
                        flags |= int(getattr(re, part.attr))
            searches = node.func.attr in SEARCHING or (
                re.search(rf"\b{names.get(id(node), '!')}\.(search|sub|findall|finditer|split)\(", text) is not None
            )
            assert isinstance(pattern.value, str | bytes)
            yield Found(f"{path.relative_to(SOURCES)}:{node.lineno}", pattern.value, flags, searches)


PATTERNS = list(patterns())


def growth(found: Found, unit: str, before: str, behind: str) -> float:
    """How many times as many steps four times as many repetitions take."""
    counts = [
        steps(found.pattern, found.flags, before + unit * count + behind, searches=found.searches, whole=True)
        for count in (SHORT, LONG)
    ]
    return counts[1] / max(counts[0], 1) if counts[1] < ENOUGH else ENOUGH


def check(found: Found) -> None:
    signs = signs_of(found.pattern, found.flags)[:8]
    units = [*signs, *("".join(pair) for pair in itertools.product(signs[:4], repeat=2))]
    openings = ["", *signs[:2], "".join(signs)]
    for unit, before in itertools.product(units, openings):
        # Four times for linear work; sixteen times for quadratic.
        assert growth(found, unit, before, "\0") < 8, (found, unit, before)


def test_the_patterns_are_found() -> None:
    assert len(PATTERNS) > 40


@pytest.mark.parametrize("found", PATTERNS, ids=lambda found: found.place)
def test_pattern_takes_linear_work(found: Found) -> None:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        check(found)
    finally:
        sys.setrecursionlimit(before)


def test_quadratic_and_exponential_patterns_are_noticed() -> None:
    for pattern in (rb"BEGIN\s+([A-Z\s]*?)END", r"(a+)+b", r"\s*x\s*\s*y", r"a*b"):
        with pytest.raises(AssertionError):
            check(Found("here", pattern, 0, searches=True))


@pytest.mark.parametrize("unit", ["", " ", "\n", "-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----\n", "A"])
def test_pem_text_is_read_in_steps_that_do_not_grow_faster_than_it(unit: str) -> None:
    from remsim.pki.facts import pem_bodies

    def looked_at(count: int) -> int:
        # The measurement of coverage traces, too.
        lines, before = 0, sys.gettrace()

        def trace(*_: object) -> object:
            nonlocal lines
            lines += 1
            return trace

        text = (b"-----BEGIN CERTIFICATE-----" + unit.encode() * count) * 2
        sys.settrace(trace)  # type: ignore[arg-type]  # traces all that it is asked for
        try:
            pem_bodies(text, "CERTIFICATE")
        finally:
            sys.settrace(before)
        return lines

    assert looked_at(16_000) <= looked_at(4_000) * 4
