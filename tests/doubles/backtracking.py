# SPDX-License-Identifier: Apache-2.0
"""How many steps a backtracking matcher takes for a pattern and a text: ``re`` does not tell.

Walks the tree that ``re`` itself has parsed, in the order in which it tries alternatives. Each look at a character is a
step. It knows what the patterns of this package use, and fails on anything else.
"""

import re._constants as op  # type: ignore[import-not-found]  # has no stubs
import re._parser as parser  # type: ignore[import-not-found]
from collections.abc import Callable
from typing import Any

#: Beyond so many the count is not needed any more.
ENOUGH = 20_000

Go = Callable[[int], bool]


class TooManyStepsError(Exception):
    """More than ENOUGH."""


class Matcher:
    """One pattern on one text."""

    def __init__(self, pattern: str | bytes, flags: int, text: str) -> None:
        self.tree = parser.parse(pattern, flags)
        self.text = text
        self.is_any_newline = bool(self.tree.state.flags & re_flag("DOTALL"))
        self.ignores_case = bool(self.tree.state.flags & re_flag("IGNORECASE"))
        self.steps = 0

    def match(self, start: int, *, whole: bool) -> int | None:
        """Try at one place; the end of the match."""
        ends: list[int] = []

        def is_good(end: int) -> bool:
            ends.append(end)
            return not whole or end == len(self.text)

        return ends[-1] if self._run(list(self.tree), 0, start, is_good) else None

    def _step(self) -> None:
        self.steps += 1
        if self.steps > ENOUGH:
            raise TooManyStepsError

    def _run(self, items: list[Any], index: int, at: int, go: Go) -> bool:
        if index == len(items):
            return go(at)
        kind, argument = items[index]
        following: Go = lambda end: self._run(items, index + 1, end, go)  # noqa: E731  # a continuation
        self._step()
        if kind in (op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN):
            return at < len(self.text) and self._is_in(kind, argument, self.text[at]) and following(at + 1)
        if kind is op.SUBPATTERN:
            return self._run(list(argument[-1]), 0, at, following)
        if kind is op.BRANCH:
            return any(self._run(list(branch), 0, at, following) for branch in argument[1])
        if kind in (op.MAX_REPEAT, op.MIN_REPEAT):
            return self._repeat(argument, kind is op.MAX_REPEAT, 0, at, following)
        if kind is op.AT:
            return self._is_at(argument, at) and following(at)
        if kind in (op.ASSERT, op.ASSERT_NOT):
            direction, inner = argument
            begin = at if direction > 0 else at - 1
            found = begin >= 0 and self._run(list(inner), 0, begin, lambda _end: True)
            return found is (kind is op.ASSERT) and following(at)
        raise NotImplementedError(kind)

    def _repeat(self, argument: Any, is_greedy: bool, done: int, at: int, go: Go) -> bool:
        least, most, inner = argument

        def again() -> bool:
            if most is not op.MAXREPEAT and done >= most:
                return False
            return self._run(
                list(inner), 0, at, lambda end: end > at and self._repeat(argument, is_greedy, done + 1, end, go)
            )

        if done < least:
            return again()
        return (again() or go(at)) if is_greedy else (go(at) or again())

    def _is_in(self, kind: Any, argument: Any, sign: str) -> bool:
        if kind is op.ANY:
            return self.is_any_newline or sign != "\n"
        if kind is op.LITERAL:
            return self._same(argument, sign)
        if kind is op.NOT_LITERAL:
            return not self._same(argument, sign)
        is_negated = any(name is op.NEGATE for name, _ in argument)
        return is_negated is not any(self._is_member(name, value, sign) for name, value in argument)

    def _same(self, code: int, sign: str) -> bool:
        return sign == chr(code) or (self.ignores_case and sign.lower() == chr(code).lower())

    def _is_member(self, name: Any, value: Any, sign: str) -> bool:
        if name is op.LITERAL:
            return self._same(value, sign)
        if name is op.RANGE:
            variants = (sign, sign.lower(), sign.upper()) if self.ignores_case else (sign,)
            return any(len(one) == 1 and value[0] <= ord(one) <= value[1] for one in variants)
        if name is op.CATEGORY:
            return {
                op.CATEGORY_SPACE: sign.isspace(),
                op.CATEGORY_NOT_SPACE: not sign.isspace(),
                op.CATEGORY_DIGIT: sign.isdigit(),
                op.CATEGORY_NOT_DIGIT: not sign.isdigit(),
                op.CATEGORY_WORD: sign.isalnum() or sign == "_",
                op.CATEGORY_NOT_WORD: not (sign.isalnum() or sign == "_"),
            }[value]
        return False

    def _is_at(self, where: Any, at: int) -> bool:
        def is_word(place: int) -> bool:
            return 0 <= place < len(self.text) and (self.text[place].isalnum() or self.text[place] == "_")

        if where is op.AT_BOUNDARY:
            return is_word(at - 1) is not is_word(at)
        return {op.AT_BEGINNING: at == 0, op.AT_END: at == len(self.text), op.AT_END_STRING: at == len(self.text)}[
            where
        ]


def re_flag(name: str) -> int:
    """The number of a flag."""
    return int(getattr(parser, f"SRE_FLAG_{name}"))


def steps(pattern: str | bytes, flags: int, text: str, *, searches: bool, whole: bool) -> int:
    """How many steps it takes to find all matches, or to match at the beginning."""
    matcher = Matcher(pattern, flags, text)
    try:
        if not searches:
            matcher.match(0, whole=whole)
        start = 0 if searches else len(text)
        while start < len(text):
            end = matcher.match(start, whole=False)
            start = max(start + 1, end or 0)
    except (TooManyStepsError, RecursionError):
        return ENOUGH
    return matcher.steps


def signs_of(pattern: str | bytes, flags: int) -> list[str]:
    """One character for each literal and class of the pattern."""
    found: dict[str, None] = {}

    def walk(items: Any) -> None:
        for kind, argument in items:
            if kind is op.LITERAL:
                found[chr(argument)] = None
            elif kind is op.IN:
                for name, value in argument:
                    if name is op.LITERAL:
                        found[chr(value)] = None
                    elif name is op.RANGE:
                        found[chr(value[0])] = None
                    elif name is op.CATEGORY:
                        found[" " if value is op.CATEGORY_SPACE else "0"] = None
            elif kind is op.SUBPATTERN:
                walk(argument[-1])
            elif kind is op.BRANCH:
                for branch in argument[1]:
                    walk(branch)
            elif kind in (op.MAX_REPEAT, op.MIN_REPEAT):
                walk(argument[2])
            elif kind in (op.ASSERT, op.ASSERT_NOT):
                walk(argument[1])

    walk(parser.parse(pattern, flags))
    return list(found)
