# SPDX-License-Identifier: Apache-2.0
"""What was found on a bank's host, made up: pcscd, its readers, USB; and what is told of it, sorted."""

from pathlib import Path

from remsim.bankd.host.judging import BankFacts
from remsim.bankd.host.pcscd import PcscdFacts, ReaderSeen, parse_version
from remsim.bankd.host.usb import UsbDevice
from remsim.core.finding import Finding, Outcome

SOCKET = Path("/run/pcscd/pcscd.comm")
DEBIAN_12 = """pcsc-lite version 1.9.9.
Copyright (C) 1999-2002 by David Corcoran <corcoran@musclecard.com>.
Enabled features: Linux x86_64-pc-linux-gnu libsystemd serial usb libudev usbdropdir=/usr/lib/pcsc/drivers filter
MAX_READERNAME: 128, PCSCLITE_MAX_READERS_CONTEXTS: 16
"""
DEBIAN_13 = """pcsc-lite version 2.3.3.
Enabled features: Linux x86_64-pc-linux-gnu libsystemd serial usb libudev polkit usbdropdir=/usr/lib/pcsc/drivers
"""


def problems(findings: list[Finding]) -> list[str]:
    assert all(finding.mend for finding in findings if finding.outcome is not Outcome.OK)
    return [finding.text for finding in findings if finding.outcome is Outcome.PROBLEM]


def notes(findings: list[Finding]) -> list[str]:
    return [finding.text for finding in findings if finding.outcome is Outcome.NOTE]


def readers(count: int) -> tuple[ReaderSeen, ...]:
    return tuple(ReaderSeen(f"Reader {number:02d} 00", has_card=number == 0) for number in range(count))


def usb(count: int) -> tuple[UsbDevice, ...]:
    return tuple(UsbDevice(f"1-1.{number}", is_reader=True) for number in range(count))


def facts(
    *,
    trouble: str | None = None,
    seen: int = 2,
    plugged: int = 2,
    protocol: tuple[int, int] = (4, 4),
    lite: str = DEBIAN_12,
    ccid: str | None = "1.5.2",
    has_program: bool = True,
    has_pyscard: bool = True,
    mode: int = 0o666,
) -> BankFacts:
    found = PcscdFacts(SOCKET, trouble, mode, protocol, () if trouble else readers(seen))
    return BankFacts(found, parse_version(lite), has_program, ccid, has_pyscard, usb(plugged), "bank")


def daemon(place: str, seen: int = 2, prefix: str = "", protocol: tuple[int, int] = (4, 4)) -> PcscdFacts:
    names = tuple(ReaderSeen(f"{prefix}{reader.name}", reader.has_card) for reader in readers(seen))
    return PcscdFacts(Path(place), None, 0o666, protocol, names)


def several(*daemons: PcscdFacts) -> BankFacts:
    return BankFacts(daemons[0], parse_version(DEBIAN_12), ccid="1.5.2", user="bank", others=daemons[1:])
