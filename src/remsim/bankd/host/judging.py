# SPDX-License-Identifier: Apache-2.0
"""Whether a bank's host can serve cards: pcscd, its socket and rights, its readers, versions and their limits.

``look_at_host`` looks; ``judge_host`` only thinks. ``remsim doctor`` shows all that is found; a bankd tells its server
what is wrong, by its code (``remsim.core.host_codes``).
"""

import importlib.util
import os
import plistlib
import pwd
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Final
from xml.parsers.expat import ExpatError

from remsim.bankd.host.pcscd import MAX_READERS, PcscdFacts, PcscLite, ask_pcscd, pcsc_lite
from remsim.bankd.host.usb import UsbDevice, read_devices
from remsim.bankd.reader_choice import PCSC
from remsim.config import BankdConfig, SlotReader
from remsim.core import host_codes
from remsim.core.finding import Finding, Outcome
from remsim.core.installation import install_command
from remsim.core.values import dataclass
from remsim.net.runtime.tasks import all_of, in_thread
from remsim.readers.base import twins_of
from remsim.readers.pcscd import PcscdDaemon, default_socket, name_daemons

#: What has looked, as the doctor names it.
CHECK: Final = "pcscd"
#: Where pcscd finds drivers of USB readers, on the distributions.
_DRIVER_FOLDERS: Final = tuple(
    Path(folder, "pcsc/drivers") for folder in ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/lib/pcsc-lite")
)
_CCID_BUNDLE: Final = "ifd-ccid.bundle/Contents/Info.plist"
#: From this protocol on, that is from pcsc-lite 2.5 on, any number of readers is listed.
_UNLIMITED: Final = (4, 6)
#: The socket of the distribution's service.
DEFAULT_SOCKET: Final = Path("/run/pcscd/pcscd.comm")
_START: Final = "systemctl enable --now pcscd.socket"
_RESTART: Final = "systemctl restart pcscd.socket pcscd"
_OPEN: Final = (
    "give this user the right to write to it, and to enter its folder (SocketMode and DirectoryMode of its unit)"
)
#: A pcscd that nobody configured serves so many connections.
_MAX_CLIENTS: Final = 200
#: Beside those for cards: two to watch the readers, one to find out where they are plugged in.
_OTHER_CONNECTIONS: Final = 3
#: It has listened before pcscd runs.
_SERVICE_MANAGER: Final = 1
_NOT_INSTALLED: Final = (
    "pcscd is not installed",
    "apt-get install pcscd libccid; in a container, give it the host's folder /run/pcscd instead",
)
_POLKIT_RULE: Final = (
    "permit the actions org.debian.pcsc-lite.access_pcsc and org.debian.pcsc-lite.access_card to this user with a rule "
    "in /etc/polkit-1/rules.d"
)
_MORE_DAEMONS: Final = (
    "run one pcscd for each 16 readers and name their sockets in [[pcscd]]; or use pcsc-lite 2.5 or later"
)


@dataclass(frozen=True, slots=True)
class BankFacts:
    """What was found on the host. ``pcscd`` is the first daemon, ``others`` are further ones of ``[[pcscd]]``."""

    pcscd: PcscdFacts
    lite: PcscLite = field(default_factory=PcscLite)
    #: The program pcscd is installed; in a container it need not be.
    has_program: bool = True
    #: Version of the driver of USB readers; None: it is not installed.
    ccid: str | None = None
    has_pyscard: bool = True
    usb: tuple[UsbDevice, ...] = ()
    #: Who looked.
    user: str = ""
    others: tuple[PcscdFacts, ...] = ()

    @property
    def daemons(self) -> tuple[PcscdFacts, ...]:
        """Each pcscd."""
        return (self.pcscd, *self.others)


async def look_at_host(
    environ: Mapping[str, str], config: BankdConfig | None = None, *, lite: PcscLite | None = None
) -> BankFacts:
    """Look at this host. Never raises; every question has its deadline.

    ``lite`` is what the installed pcscd has said of itself before; None: it is asked.
    """
    program = shutil.which("pcscd", path=f"{environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        lite = PcscLite()
    elif lite is None:
        lite = await pcsc_lite(program)
    named = [] if config is None else [(entry.socket, entry.name or "") for entry in config.pcscd]
    daemons = name_daemons(named) or [PcscdDaemon(default_socket())]
    first, *others = await all_of(
        *(ask_pcscd(one.socket, prefix=one.prefix, has_polkit=lite.has_polkit) for one in daemons)
    )
    return BankFacts(
        pcscd=first,
        lite=lite,
        has_program=program is not None,
        ccid=await in_thread(ccid_version),
        has_pyscard=importlib.util.find_spec("smartcard") is not None,
        usb=tuple(await in_thread(read_devices)),
        user=_user(),
        others=tuple(others),
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


def judge_host(facts: BankFacts, config: BankdConfig | None, rules: Sequence[SlotReader] = ()) -> list[Finding]:
    """What is wrong. ``config`` is that of the bankd, if it is known; ``rules`` say which readers its slots want."""
    found = []
    if not facts.has_pyscard and config is not None and config.reader == PCSC:
        text = "pyscard is not installed: the bankd cannot use readers with --reader pcsc"
        found.append(Finding(CHECK, Outcome.PROBLEM, text, install_command("pyscard"), host_codes.NO_DRIVER))
    for daemon in facts.daemons:
        found += [_judge_trouble(facts, daemon)] if daemon.trouble is not None else _judge_daemon(facts, daemon)
    if all(daemon.trouble is None for daemon in facts.daemons):
        found += _judge_readers(facts)
        found += _judge_limit(facts, config)
        found += _judge_rules(facts, rules)
    return found


def protocol_text(daemon: PcscdFacts) -> str:
    """What a pcscd speaks, for people."""
    return "protocol {}:{}".format(*daemon.protocol) if daemon.protocol is not None else "unknown protocol"


def _judge_trouble(facts: BankFacts, daemon: PcscdFacts) -> Finding:
    mends: dict[str, Callable[[BankFacts, PcscdFacts], tuple[str, str]]] = {
        "absent": _on_absent,
        "nobody": _on_nobody,
        "no rights": _on_no_rights,
        "refused": _on_refusal,
        "silent": _on_silence,
    }
    socket, trouble = daemon.socket, daemon.trouble
    if trouble in mends:
        return Finding(CHECK, Outcome.PROBLEM, *mends[trouble](facts, daemon), host_codes.PCSCD_UNUSABLE)
    if trouble == "no socket":
        mend = _start(daemon, f"remove it, then {_START}", "remove it and start the pcscd that should have it")
        return Finding(CHECK, Outcome.PROBLEM, f"{socket} is no socket", mend, host_codes.PCSCD_UNUSABLE)
    detail = f": {daemon.detail}" if daemon.detail else ""
    text = f"what answers at {socket} speaks no protocol of pcscd that is known{detail}"
    return Finding(
        CHECK, Outcome.PROBLEM, text, "is PCSCLITE_CSOCK_NAME right? see pcscd --version", host_codes.PCSCD_UNUSABLE
    )


def _on_absent(facts: BankFacts, daemon: PcscdFacts) -> tuple[str, str]:
    if not facts.has_program:
        return _NOT_INSTALLED
    return f"pcscd does not run: there is no {daemon.socket}", _start(daemon, _START)


def _on_nobody(facts: BankFacts, daemon: PcscdFacts) -> tuple[str, str]:
    if not facts.has_program:
        return _NOT_INSTALLED
    mend = f"{_RESTART}; if it ends again: journalctl -u pcscd"
    return f"pcscd does not run: nothing listens at {daemon.socket}", _start(daemon, mend)


def _on_no_rights(facts: BankFacts, daemon: PcscdFacts) -> tuple[str, str]:
    mode = f" (mode {daemon.mode:04o})" if daemon.mode else ""
    text = f"the user {facts.user} has no right to use {daemon.socket}{mode}"
    return text, _start(daemon, f"{_RESTART}, which gives it mode 0666; see systemctl cat pcscd.socket", _OPEN)


def _on_refusal(facts: BankFacts, daemon: PcscdFacts) -> tuple[str, str]:
    if daemon.clients >= _MAX_CLIENTS:
        text = f"pcscd at {daemon.socket} has {daemon.clients} connections and takes no more"
        mend = f"end programs that use it (ss -xp names them), or start it with --max-thread {2 * _MAX_CLIENTS}"
        return text, mend
    if facts.lite.has_polkit:
        return f"pcscd refuses the user {facts.user}: polkit does not permit it", _POLKIT_RULE
    text = f"pcscd closes the connection of the user {facts.user}"
    return text, f"journalctl -u pcscd says why: polkit, or it serves {_MAX_CLIENTS} connections already"


def _on_silence(_facts: BankFacts, daemon: PcscdFacts) -> tuple[str, str]:
    text = f"pcscd does not answer at {daemon.socket}"
    if daemon.is_stopped:
        return f"{text}: process {daemon.listener} was stopped by a signal", f"kill -CONT {daemon.listener}"
    if daemon.listener == _SERVICE_MANAGER:
        mend = "systemctl status pcscd and journalctl -u pcscd say why; then systemctl restart pcscd"
        return f"{text}, where systemd starts it for the first program", mend
    return text, _start(daemon, "systemctl restart pcscd", "restart the pcscd that has this socket")


def _start(
    daemon: PcscdFacts,
    usual: str,
    other: str = "start the pcscd that has this socket, or correct the path in [[pcscd]] or PCSCLITE_CSOCK_NAME",
) -> str:
    """What to do with the service of the distribution, or with a pcscd at another place."""
    return usual if daemon.socket == DEFAULT_SOCKET else other


def _judge_daemon(facts: BankFacts, daemon: PcscdFacts) -> list[Finding]:
    """What one pcscd that answers has to say."""
    version = f"pcscd {facts.lite.version}" if facts.lite.version else "pcscd"
    driver = "no libccid" if facts.ccid is None else f"libccid {facts.ccid}"
    polkit = "asks polkit" if facts.lite.has_polkit else "without polkit"
    about = f"{driver}, {polkit}" if facts.has_program else f"{protocol_text(daemon)}; it is not installed here"
    if daemon.listener == _SERVICE_MANAGER:
        about += ", started by systemd when it is used"
    place = f" at {daemon.socket}" if facts.others else ""
    cards = sum(reader.has_card for reader in daemon.readers)
    readers = f"{len(daemon.readers)} readers, {cards} with a card"
    found = [Finding(CHECK, Outcome.OK, f"{version}{place} ({about}) lets {facts.user} in: {readers}")]
    if daemon.forbids_cards:
        text = (
            f"polkit lets {facts.user} list the readers{place}, and not use their cards, unless a rule names the reader"
        )
        found.append(Finding(CHECK, Outcome.NOTE, text, _POLKIT_RULE, host_codes.CARDS_FORBIDDEN))
    names = [reader.name for reader in daemon.readers]
    for name in sorted(twins_of(names)):
        text = f"{names.count(name)} readers are called {name}: none of them is served"
        mend = "give each entry of reader.conf a FRIENDLYNAME of its own and restart pcscd"
        found.append(Finding(CHECK, Outcome.PROBLEM, text, mend, host_codes.READER_TWINS))
    return found


def _judge_readers(facts: BankFacts) -> list[Finding]:
    """Whether the readers that are plugged in are known to a pcscd."""
    readers = sum(len(daemon.readers) for daemon in facts.daemons)
    is_full = any(len(daemon.readers) >= MAX_READERS and _is_limited(daemon) for daemon in facts.daemons)
    plugged = [device for device in facts.usb if device.is_reader]
    if not readers and not plugged:
        return [Finding(CHECK, Outcome.NOTE, "no reader is plugged in", "plug one in; see lsusb", host_codes.NO_READER)]
    if plugged and facts.ccid is None and facts.has_program:
        text = f"{len(plugged)} USB readers are plugged in, and their driver is not installed"
        return [
            Finding(
                CHECK,
                Outcome.PROBLEM,
                text,
                "apt-get install libccid, then systemctl restart pcscd",
                host_codes.NO_DRIVER,
            )
        ]
    if len(plugged) > readers and not is_full:
        text = f"{len(plugged)} USB readers are plugged in, and pcscd knows {readers}"
        mend = "systemctl restart pcscd; journalctl -u pcscd names readers that do not start"
        return [Finding(CHECK, Outcome.PROBLEM, text, mend, host_codes.READERS_UNSEEN)]
    return []


def _is_limited(daemon: PcscdFacts) -> bool:
    """Whether it lists 16 readers at most."""
    return daemon.protocol is not None and daemon.protocol < _UNLIMITED


def _judge_limit(facts: BankFacts, config: BankdConfig | None) -> list[Finding]:
    found = _judge_connections(facts, config)
    limited = [daemon for daemon in facts.daemons if _is_limited(daemon)]
    if not limited:
        return found
    plugged = sum(device.is_reader for device in facts.usb)
    slots = 0 if config is None else config.slots
    at_most = MAX_READERS * len(limited)
    protocol = "{}:{}".format(*(limited[0].protocol or ()))
    which = "this pcscd (protocol" if len(limited) == 1 else f"these {len(limited)} pcscd (protocol"
    limit = f"{which} {protocol}) {'lists' if len(limited) == 1 else 'list'} {at_most} readers at most"
    if len(limited) == len(facts.daemons):
        if plugged > at_most:
            return [
                *found,
                Finding(
                    CHECK,
                    Outcome.PROBLEM,
                    f"{limit}, and {plugged} are plugged in",
                    _MORE_DAEMONS,
                    host_codes.PCSCD_TOO_OLD,
                ),
            ]
        if slots > at_most:
            text = f"{limit}, and the bank has {slots} slots"
            return [*found, Finding(CHECK, Outcome.NOTE, text, _MORE_DAEMONS, host_codes.PCSCD_TOO_OLD)]
    full = [daemon for daemon in limited if len(daemon.readers) >= MAX_READERS]
    if full and len(facts.daemons) == 1:
        text = f"{limit}, and has so many: a further one is not seen"
        return [*found, Finding(CHECK, Outcome.NOTE, text, _MORE_DAEMONS, host_codes.PCSCD_TOO_OLD)]
    for daemon in full:
        text = f"the pcscd at {daemon.socket} lists {MAX_READERS} readers at most, and has so many"
        found.append(Finding(CHECK, Outcome.NOTE, text, _MORE_DAEMONS, host_codes.PCSCD_TOO_OLD))
    return found


def _judge_connections(facts: BankFacts, config: BankdConfig | None) -> list[Finding]:
    """Each open card has a connection of its own, and so have a few other things."""
    slots = 0 if config is None else config.slots
    found = []
    for daemon in facts.daemons:
        needed = min(slots, len(daemon.readers)) + _OTHER_CONNECTIONS
        if needed > _MAX_CLIENTS:
            text = f"pcscd takes {_MAX_CLIENTS} connections unless it is told otherwise, and the bank wants {needed}"
            mend = f"start {daemon.socket}'s pcscd with --max-thread {2 * needed}; nothing, if that is done"
            found.append(Finding(CHECK, Outcome.NOTE, text, mend, host_codes.CONNECTIONS))
    return found


def _judge_rules(facts: BankFacts, rules: Sequence[SlotReader]) -> list[Finding]:
    names = [reader.name for daemon in facts.daemons for reader in daemon.readers]
    found = []
    for rule in rules:
        if not any(rule.matches(name) for name in names):
            wanted = rule.reader if rule.pattern is None else f"pattern {rule.pattern.pattern}"
            text = f"slot {rule.slot}: no reader matches {wanted}"
            mend = "plug it in, or compare with pcsc_scan -r"
            if facts.others:
                mend += ", and with the names in [[pcscd]]: NAME/reader"
            found.append(Finding(CHECK, Outcome.NOTE, text, mend, host_codes.NO_SUCH_READER))
    return found
