# SPDX-License-Identifier: Apache-2.0
"""Makes the plan of slots from the configuration, and keeps on disk which slot a reader was given (``--auto``)."""

import json
import re
from pathlib import Path
from typing import Final

from remsim.bankd.slots.auto import AutoPlan, KnownReader
from remsim.bankd.slots.csv import CSV_NAME, CsvSlots, parse_slots_csv
from remsim.bankd.slots.plan import OrderPlan, RulePlan, SlotPlan, beyond_text, table_rules, table_warnings
from remsim.config import BankdConfig, SlotSource, TextError, read_text
from remsim.core.errors import ConfigError, StartError

AUTO_NAME: Final = "slots.json"
#: Version 2 has the places of readers; a file without any is still written as version 1.
_VERSION, _VERSION_WITH_PLACES = 1, 2
_SLOT: Final = re.compile(r"[0-9]{1,4}", re.ASCII)
#: A device has so many interfaces at most (USB 2.0, table 9-10).
_MAX_INDEX: Final = 255


def load_csv(path: Path, config: BankdConfig) -> CsvSlots:
    """Read a classic slot file. Raises ConfigError."""
    try:
        text = read_text(path)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", hint="see --csv") from None
    except TextError as error:
        raise ConfigError(f"cannot read {path}: {error}", hint=error.hint) from None
    return parse_slots_csv(text, bank_id=config.bank_id, slots=config.slots, origin=str(path))


def load_auto(path: Path, slots: int) -> AutoPlan:
    """Read which slots readers were given. Raises ConfigError: overwriting the file would shuffle the cards."""
    try:
        raw: object = json.loads(read_text(path))
    except FileNotFoundError:
        return AutoPlan(slots)
    except (OSError, TextError, ValueError, RecursionError) as error:
        raise _unusable(path, str(error)) from None
    is_ours = isinstance(raw, dict) and raw.get("version") in (_VERSION, _VERSION_WITH_PLACES)
    if not isinstance(raw, dict) or not is_ours or not isinstance(raw.get("slots"), dict):
        raise _unusable(path, "it is none of our files")
    known: dict[int, KnownReader] = {}
    for text, entry in raw["slots"].items():
        reader = _known_reader(entry)
        if _SLOT.fullmatch(text) is None or int(text) in known or reader is None or reader in known.values():
            raise _unusable(path, f"slot {text!r}: {entry!r}")
        known[int(text)] = reader
    return AutoPlan(slots, known)


def _known_reader(entry: object) -> KnownReader | None:
    """A reader as the file has it: its name, or a table with its place; None if it is neither."""
    if isinstance(entry, str):
        return KnownReader(entry)
    if not isinstance(entry, dict) or set(entry) != {"reader", "usb", "interface"}:
        return None
    key, place, index = entry["reader"], entry["usb"], entry["interface"]
    if not isinstance(key, str) or not isinstance(place, str) or not isinstance(index, int):
        return None
    return KnownReader(key, place, index) if 0 <= index <= _MAX_INDEX and not isinstance(index, bool) else None


def _entry_of(reader: KnownReader) -> object:
    if not reader.place:
        return reader.key
    return {"reader": reader.key, "usb": reader.place, "interface": reader.index}


def _unusable(path: Path, reason: str) -> ConfigError:
    return ConfigError(f"{path} cannot be used: {reason}", hint="repair it, or delete it to number the slots anew")


def save_auto(path: Path, plan: AutoPlan) -> None:
    """Write it, as a whole or not at all. Raises StartError."""
    slots = {str(slot_nr): _entry_of(plan.known[slot_nr]) for slot_nr in sorted(plan.known)}
    has_places = any(reader.place for reader in plan.known.values())
    version = _VERSION_WITH_PLACES if has_places else _VERSION
    new = path.with_suffix(".new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new.write_text(json.dumps({"version": version, "slots": slots}, indent=2) + "\n", encoding="utf-8")
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
        return RulePlan(table_rules(config)), table_warnings(config)
    if source is SlotSource.SIM:
        return OrderPlan(config.slots), []
    path = config.state_dir / AUTO_NAME
    plan = load_auto(path, config.slots)
    beyond = sorted(slot_nr for slot_nr in plan.known if slot_nr >= config.slots)
    return plan, [beyond_text(f"{path}: {plan.known[slot_nr].key}", slot_nr, config.slots) for slot_nr in beyond]
