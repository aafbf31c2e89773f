# SPDX-License-Identifier: Apache-2.0
"""Whether a bank's host can serve cards: pcscd, its socket and rights, its readers, versions and their limits.

``gather`` looks; ``judge`` only thinks.
"""

import importlib.util
import os
import plistlib
import pwd
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from xml.parsers.expat import ExpatError

from remsim.bankd.slots.csv import CSV_NAME, parse_slots_csv
from remsim.config import BankdConfig, SlotReader, SlotSource, TextError, read_text
from remsim.core.errors import ConfigError
from remsim.core.installation import install_command
from remsim.doctor.check import Finding, Outcome, Situation
from remsim.doctor.pcscd import (
    MAX_READERS,
    SOCKET,
    SOCKET_VARIABLE,
    PcscdFacts,
    PcscLite,
    ask_pcscd,
    pcsc_lite,
)
from remsim.doctor.power import UsbDevice, read_devices
from remsim.net.runtime.tasks import in_thread

_NAME: Final = "pcscd"
#: Where pcscd finds drivers of USB readers, on the distributions.
_DRIVER_FOLDERS: Final = tuple(
    Path(folder, "pcsc/drivers") for folder in ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/lib/pcsc-lite")
)
_CCID_BUNDLE: Final = "ifd-ccid.bundle/Contents/Info.plist"
#: From this protocol on, that is from pcsc-lite 2.5 on, any number of readers is listed.
_UNLIMITED: Final = (4, 6)
_START: Final = "systemctl enable --now pcscd.socket"


@dataclass(frozen=True, slots=True)
class BankFacts:
    """What was found on the host."""

    pcscd: PcscdFacts
    lite: PcscLite = field(default_factory=PcscLite)
    #: The program pcscd is installed.
    has_program: bool = True
    #: Version of the driver of USB readers; None: it is not installed.
    ccid: str | None = None
    has_pyscard: bool = True
    usb: tuple[UsbDevice, ...] = ()
    #: Who looked.
    user: str = ""


async def gather(environ: Mapping[str, str]) -> BankFacts:
    """Look at this host. Never raises; every question has its deadline."""
    program = shutil.which("pcscd", path=f"{environ.get('PATH', '')}:/usr/sbin:/sbin")
    return BankFacts(
        pcscd=await ask_pcscd(Path(environ.get(SOCKET_VARIABLE) or SOCKET)),
        lite=PcscLite() if program is None else await pcsc_lite(program),
        has_program=program is not None,
        ccid=await in_thread(ccid_version),
        has_pyscard=importlib.util.find_spec("smartcard") is not None,
        usb=tuple(await in_thread(read_devices)),
        user=_user(),
    )


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def ccid_version(folders: Sequence[Path] = _DRIVER_FOLDERS) -> str | None:
    """Version of libccid, "unknown" if it does not tell, None if it is not installed."""
    for folder in folders:
        try:
            with (folder / _CCID_BUNDLE).open("rb") as stream:
                value: object = plistlib.load(stream)
        except OSError:
            continue
        except (ValueError, ExpatError):
            return "unknown"
        version = value.get("CFBundleShortVersionString") if isinstance(value, dict) else None
        return version if isinstance(version, str) else "unknown"
    return None


def judge(facts: BankFacts, config: BankdConfig | None, rules: Sequence[SlotReader] = ()) -> list[Finding]:
    """What is wrong. ``config`` is that of the bankd, if it is known; ``rules`` say which readers its slots want."""
    found = []
    if not facts.has_pyscard:
        text = "pyscard is not installed: the bankd cannot use readers"
        found.append(Finding(_NAME, Outcome.PROBLEM, text, install_command("pcsc")))
    if facts.pcscd.trouble is not None:
        return [*found, _judge_trouble(facts)]
    found += _judge_readers(facts)
    found += _judge_limit(facts, config)
    found += _judge_rules(facts, rules)
    return found


def _judge_trouble(facts: BankFacts) -> Finding:
    socket, trouble = facts.pcscd.socket, facts.pcscd.trouble
    if not facts.has_program and trouble in ("absent", "nobody"):
        return Finding(_NAME, Outcome.PROBLEM, "pcscd is not installed", "apt-get install pcscd libccid")
    if trouble == "absent":
        return Finding(_NAME, Outcome.PROBLEM, f"pcscd does not run: there is no {socket}", _START)
    if trouble == "no socket":
        return Finding(_NAME, Outcome.PROBLEM, f"{socket} is no socket", f"remove it, then {_START}")
    if trouble == "no rights":
        mode = f" (mode {facts.pcscd.mode:04o})" if facts.pcscd.mode else ""
        text = f"the user {facts.user} has no right to use {socket}{mode}"
        mend = "systemctl restart pcscd.socket pcscd, which gives it mode 0666; see systemctl cat pcscd.socket"
        return Finding(_NAME, Outcome.PROBLEM, text, mend)
    if trouble == "nobody":
        mend = "systemctl restart pcscd.socket pcscd; if it ends again: journalctl -u pcscd"
        return Finding(_NAME, Outcome.PROBLEM, f"pcscd does not run: nothing listens at {socket}", mend)
    if trouble == "refused":
        return _judge_refusal(facts)
    if trouble == "silent":
        return Finding(_NAME, Outcome.PROBLEM, f"pcscd does not answer at {socket}", "systemctl restart pcscd")
    text = f"what answers at {socket} speaks no protocol of pcscd that is known"
    return Finding(_NAME, Outcome.PROBLEM, text, f"is {SOCKET_VARIABLE} right? see pcscd --version")


def _judge_refusal(facts: BankFacts) -> Finding:
    if facts.lite.has_polkit:
        mend = (
            "permit the actions org.debian.pcsc-lite.access_pcsc and org.debian.pcsc-lite.access_card to this user "
            "with a rule in /etc/polkit-1/rules.d"
        )
        return Finding(_NAME, Outcome.PROBLEM, f"pcscd refuses the user {facts.user}: polkit does not permit it", mend)
    text = f"pcscd closes the connection of the user {facts.user}"
    return Finding(_NAME, Outcome.PROBLEM, text, "journalctl -u pcscd says why; it serves 200 programs at most")


def _judge_readers(facts: BankFacts) -> list[Finding]:
    readers = facts.pcscd.readers
    version = f"pcscd {facts.lite.version}" if facts.lite.version else "pcscd"
    driver = "no libccid" if facts.ccid is None else f"libccid {facts.ccid}"
    polkit = "asks polkit" if facts.lite.has_polkit else "without polkit"
    cards = sum(reader.has_card for reader in readers)
    text = f"{version} ({driver}, {polkit}) lets {facts.user} in: {len(readers)} readers, {cards} with a card"
    found = [Finding(_NAME, Outcome.OK, text)]
    plugged = [device for device in facts.usb if device.is_reader]
    if not readers and not plugged:
        found.append(Finding(_NAME, Outcome.NOTE, "no reader is plugged in", "plug one in; see lsusb"))
    elif plugged and facts.ccid is None:
        text = f"{len(plugged)} USB readers are plugged in, and their driver is not installed"
        found.append(Finding(_NAME, Outcome.PROBLEM, text, "apt-get install libccid, then systemctl restart pcscd"))
    elif len(plugged) > len(readers) and len(readers) < MAX_READERS:
        text = f"{len(plugged)} USB readers are plugged in, and pcscd knows {len(readers)}"
        mend = "systemctl restart pcscd; journalctl -u pcscd names readers that do not start"
        found.append(Finding(_NAME, Outcome.PROBLEM, text, mend))
    return found


def _judge_limit(facts: BankFacts, config: BankdConfig | None) -> list[Finding]:
    protocol = facts.pcscd.protocol
    if protocol is None or protocol >= _UNLIMITED:
        return []
    plugged = sum(device.is_reader for device in facts.usb)
    slots = 0 if config is None else config.slots
    mend = "run one pcscd, with a socket of its own, for each 16 readers; or use pcsc-lite 2.5 or later"
    limit = f"this pcscd (protocol {protocol[0]}:{protocol[1]}) lists {MAX_READERS} readers at most"
    if plugged > MAX_READERS:
        return [Finding(_NAME, Outcome.PROBLEM, f"{limit}, and {plugged} are plugged in", mend)]
    if slots > MAX_READERS:
        return [Finding(_NAME, Outcome.NOTE, f"{limit}, and the bank has {slots} slots", mend)]
    if len(facts.pcscd.readers) == MAX_READERS:
        return [Finding(_NAME, Outcome.NOTE, f"{limit}, and has so many: a further one is not seen", mend)]
    return []


def _judge_rules(facts: BankFacts, rules: Sequence[SlotReader]) -> list[Finding]:
    names = [reader.name for reader in facts.pcscd.readers]
    found = []
    for rule in rules:
        if not any(rule.matches(name) for name in names):
            wanted = rule.reader if rule.pattern is None else f"pattern {rule.pattern.pattern}"
            text = f"slot {rule.slot}: no reader matches {wanted}"
            found.append(Finding(_NAME, Outcome.NOTE, text, "plug it in, or compare with pcsc_scan -r"))
    return found


async def check_pcscd(situation: Situation) -> Sequence[Finding]:
    """The readers of this host."""
    config = situation.bankd
    if config is not None and config.reader == "sim":
        return [Finding(_NAME, Outcome.OK, "not needed: the cards are software")]
    if config is not None and config.reader != "pcsc":
        return [Finding(_NAME, Outcome.OK, f"not looked at: readers come from {config.reader}")]
    findings = judge(await gather(os.environ), config, () if config is None else config.slot)
    return findings if config is None else [*findings, *_csv_findings(config)]


def _csv_findings(config: BankdConfig) -> list[Finding]:
    """Whether the classic slot file, if one is used, can be read."""
    file = config.csv
    if file is None and config.slot_source is SlotSource.UNSPECIFIED and Path(CSV_NAME).is_file():
        file = Path(CSV_NAME)
    if file is None:
        return []
    try:
        text = read_text(file)
        read = parse_slots_csv(text, bank_id=config.bank_id, slots=config.slots, origin=str(file))
    except ConfigError as error:
        return [Finding(_NAME, Outcome.PROBLEM, str(error), error.hint or "correct the file")]
    except TextError as error:
        return [Finding(_NAME, Outcome.PROBLEM, f"{file}: {error}", error.hint)]
    except OSError as error:
        return [Finding(_NAME, Outcome.PROBLEM, f"cannot read {file}: {error.strerror}", "check its path and rights")]
    return [Finding(_NAME, Outcome.NOTE, warning, "correct the file") for warning in read.warnings]
