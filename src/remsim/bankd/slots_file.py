# SPDX-License-Identifier: Apache-2.0
"""Makes the plan of slots from the configuration, and keeps on disk which slot a reader was given (``--auto``)."""

import json
import re
from pathlib import Path
from typing import Final

from remsim.bankd.slots import AutoPlan, OrderPlan, RulePlan, SlotPlan, table_rules
from remsim.bankd.slots_csv import CSV_NAME, CsvSlots, parse_slots_csv
from remsim.config import BankdConfig, SlotSource
from remsim.errors import ConfigError, StartError

AUTO_NAME: Final = "slots.json"
_VERSION: Final = 1
_SLOT: Final = re.compile(r"[0-9]{1,4}", re.ASCII)


def load_csv(path: Path, config: BankdConfig) -> CsvSlots:
    """Read a classic slot file. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"cannot read {path}: {reason}", hint="see --csv") from None
    return parse_slots_csv(text, bank_id=config.bank_id, slots=config.slots, origin=str(path))


def load_auto(path: Path, slots: int) -> AutoPlan:
    """Read which slots readers were given. Raises ConfigError: overwriting the file would shuffle the cards."""
    try:
        raw: object = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return AutoPlan(slots)
    except (OSError, ValueError, RecursionError) as error:
        raise _unusable(path, str(error)) from None
    if not isinstance(raw, dict) or raw.get("version") != _VERSION or not isinstance(raw.get("slots"), dict):
        raise _unusable(path, "it is none of our files")
    known: dict[str, int] = {}
    for text, key in raw["slots"].items():
        if _SLOT.fullmatch(text) is None or not isinstance(key, str) or key in known:
            raise _unusable(path, f"slot {text!r}: {key!r}")
        known[key] = int(text)
    return AutoPlan(slots, known)


def _unusable(path: Path, reason: str) -> ConfigError:
    return ConfigError(f"{path} cannot be used: {reason}", hint="mend it, or delete it to number the slots anew")


def save_auto(path: Path, plan: AutoPlan) -> None:
    """Write it, as a whole or not at all. Raises StartError."""
    slots = {str(slot_nr): key for key, slot_nr in sorted(plan.known.items(), key=lambda item: item[1])}
    new = path.with_suffix(".new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new.write_text(json.dumps({"version": _VERSION, "slots": slots}, indent=2) + "\n", encoding="utf-8")
        new.replace(path)
    except OSError as error:
        raise StartError(f"cannot write {path}: {error.strerror}", hint="choose another folder with --state") from None
    plan.is_changed = False


def make_plan(config: BankdConfig, *, folder: Path) -> tuple[SlotPlan, list[str]]:
    """The plan that the configuration asks for, and warnings. ``folder`` is the current one.

    Raises ConfigError.
    """
    source, path = config.slot_source, config.csv
    if source is SlotSource.UNSPECIFIED and (folder / CSV_NAME).is_file():
        source, path = SlotSource.CSV, folder / CSV_NAME
    if source is SlotSource.CSV and path is not None:
        read = load_csv(path, config)
        return RulePlan(read.rules), read.warnings
    if source is SlotSource.TABLE:
        return RulePlan(table_rules(config)), []
    if source is SlotSource.SIM:
        return OrderPlan(config.slots), []
    return load_auto(config.state_dir / AUTO_NAME, config.slots), []
