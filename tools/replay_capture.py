# SPDX-License-Identifier: Apache-2.0
"""Runs a recorded APDU log through the decision of card emulators, and lists where the log says otherwise.

``python tools/replay_capture.py FILE`` ends with 0 if all commands were taken for what they were, with 1 if not, and
with 2 if the file cannot be read. For a command that a card answered and the tables do not know, and for one whose
data went the other way, it shows the line that mends it (``command_cases`` of ``remsim client run``).
"""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).resolve().parent.parent
if str(_ROOT) not in sys.path:
    # Run as a file, the tool finds its neighbours all the same.
    sys.path.insert(0, str(_ROOT))

from remsim.card.apdu_case import (  # noqa: E402  # behind the path
    Case,
    CaseDecision,
    CaseOverride,
    CommandRules,
    Direction,
    PreviousCommand,
    decide,
    parse_override,
)
from remsim.card.errors import ApduCaseError  # noqa: E402
from remsim.card.instructions import command_name  # noqa: E402
from remsim.trace.packets import CaptureError  # noqa: E402
from remsim.trace.sim_frames import SeenData  # noqa: E402
from tools.captures import MAX_CAPTURE, Capture, Exchange, Reset, Step, read_capture  # noqa: E402

KINDS: Final = ("json", "pcapng", "pcap", "simtrace", "qualcomm")
_SW1_REFUSED: Final = frozenset({0x68, 0x6D, 0x6E})
_CASE_OF: Final = {SeenData.TO_CARD: Case.TO_CARD, SeenData.FROM_CARD: Case.FROM_CARD}


@dataclass(slots=True)
class Difference:
    """One kind of command that the tables have wrong: its first header, what was expected, and what happened."""

    header: bytes
    expected: str
    seen: SeenData
    first: int
    is_unknown: bool
    count: int = 1

    @property
    def name(self) -> str:
        """The command in words."""
        return command_name(self.header[0], self.header[1])

    @property
    def setting(self) -> str:
        """What makes the command known; empty where the capture does not tell how its data went."""
        case = _CASE_OF.get(self.seen)
        if case is None:
            return ""
        p1 = None if self.is_unknown else self.header[2]
        return f'command_cases = ["{CaseOverride(self.header[0], 0xFF, self.header[1], case, p1)}"]'


@dataclass(slots=True)
class Report:
    """What a capture says about the decision."""

    commands: int
    #: Commands of which the capture does not tell which way their data went, and P3 is not 00.
    undecided: int
    differences: list[Difference]


def compare(steps: Iterable[Step], rules: CommandRules) -> Report:
    """Decide every command as an emulator would, and compare with what happened."""
    report = Report(0, 0, [])
    known: dict[tuple[bytes, str, SeenData], Difference] = {}
    previous: dict[str, PreviousCommand] = {}
    for step in steps:
        if isinstance(step, Reset):
            previous.pop(step.card, None)
            continue
        report.commands += 1
        decision = decide(step.header, previous=previous.get(step.card), rules=rules)
        way = Direction.RECEIVE if step.seen is SeenData.TO_CARD else Direction.FORWARD
        previous[step.card] = PreviousCommand(step.header, step.sw or 0, way)
        if step.header[4] and step.seen is SeenData.UNDECIDED:
            report.undecided += 1
        expected = _contradicted(decision, step)
        if expected is None:
            continue
        is_unknown = decision.case is None
        key = step.header[: 2 if is_unknown else 4], expected, step.seen
        if key in known:
            known[key].count += 1
        else:
            known[key] = Difference(step.header, expected, step.seen, step.place, is_unknown)
    report.differences = list(known.values())
    return report


def _contradicted(decision: CaseDecision, step: Exchange) -> str | None:
    """What was decided, if the capture says otherwise; None if it agrees, or does not tell."""
    if decision.direction is Direction.REFUSE:
        # A card that refuses the command, too, would not have been harmed.
        is_alike = step.sw is not None and step.sw >> 8 in _SW1_REFUSED
        return None if is_alike else f"unknown, refused with {decision.sw:04X}"
    is_to_card = decision.direction is Direction.RECEIVE
    if step.seen is SeenData.UNDECIDED or is_to_card == (step.seen is SeenData.TO_CARD):
        return None
    case = "unknown" if decision.case is None else f"case {int(decision.case)}"
    return f"{case}, {(SeenData.TO_CARD if is_to_card else SeenData.FROM_CARD).value}"


def _table(capture: Capture, report: Report) -> str:
    counts = f"{report.undecided} without a direction in the capture, {capture.skipped} unusable"
    lines = [f"{capture.kind}: {report.commands} commands, {len(report.differences)} kinds of them differ, {counts}"]
    for one in report.differences:
        lines.append(f"{one.header.hex(' ').upper()}  {one.name}: expected {one.expected}; seen {one.seen.value}")
        lines.append(f"    {one.count} times, first at {one.first}{'; add ' + one.setting if one.setting else ''}")
    return "\n".join(lines)


def _json(capture: Capture, report: Report) -> str:
    differences = [
        {
            "header": one.header.hex(),
            "name": one.name,
            "expected": one.expected,
            "seen": one.seen.value,
            "count": one.count,
            "first": one.first,
            "setting": one.setting,
        }
        for one in report.differences
    ]
    counts = {"commands": report.commands, "undecided": report.undecided, "unusable": capture.skipped}
    return json.dumps({"format": capture.kind, **counts, "differences": differences}, indent=1)


def _rules(texts: Sequence[str]) -> CommandRules:
    return CommandRules(tuple(parse_override(text) for text in texts))


def _read(file: Path, kind: str | None) -> Capture:
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_CAPTURE + 1)
    except OSError as error:
        raise CaptureError(f"cannot read it: {error.strerror or error}", hint="check the path") from None
    return read_capture(raw, kind)


def main(tokens: Sequence[str] | None = None) -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(description="Compare recorded commands with what a card emulator would decide.")
    parser.add_argument("file", type=Path, help="JSON lines, pcapng, pcap, SIMtrace text or Qualcomm 0x19B7 text")
    parser.add_argument("--format", choices=KINDS, help="what the file is, if its beginning does not tell")
    parser.add_argument(
        "--case", action="append", default=[], metavar="CASE", help='as in command_cases: "80/F0 E0 = 3"; repeatable'
    )
    parser.add_argument("--json", action="store_true", help="report as JSON")
    given = parser.parse_args(tokens)
    try:
        rules = _rules(given.case)
        capture = _read(given.file, given.format)
    except (CaptureError, ApduCaseError) as error:
        print(f"replay_capture: {given.file}: {error}; hint: {error.hint}", file=sys.stderr)
        return 2
    report = compare(capture.steps, rules)
    print((_json if given.json else _table)(capture, report))
    return 1 if report.differences else 0


if __name__ == "__main__":
    sys.exit(main())
