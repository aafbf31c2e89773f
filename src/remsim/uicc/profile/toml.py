# SPDX-License-Identifier: Apache-2.0
"""Profile files: TOML text to ``Profile``. The format is described in ``profiles/README.md``.

Reads text, not files: where it comes from is the caller's affair. All faults are ProfileErrors.
"""

import re
import tomllib
from typing import Final

from remsim.card.atr import parse_atr
from remsim.card.errors import AtrError
from remsim.uicc.errors import ProfileError
from remsim.uicc.files import Access, AccessRule
from remsim.uicc.identity import SubscriberIdentity
from remsim.uicc.proactive import encode_profile_command, menu_items
from remsim.uicc.profile.fields import Fields
from remsim.uicc.profile.model import AuthSpec, MenuItem, PinSpec, Profile, Quirks, ToolkitProfile
from remsim.uicc.profile.tree import TreeBuilder

_PIN_NAMES: Final = {"PIN1": 0x01, "PIN2": 0x81, "ADM": 0x0A}
_QUIETABLE: Final = frozenset({"manage-channel", "select-aid"})
_MAX_CHANNELS: Final = 20
_RULE: Final = re.compile(r"[0-9]{1,3}", re.ASCII)


def parse_profile(text: str) -> Profile:
    """Build a profile from the text of its file. Raises ProfileError."""
    try:
        parsed = tomllib.loads(text)
    except ValueError as error:
        # TOMLDecodeError, or a number that Python does not convert for its length.
        raise ProfileError(f"profile is no TOML: {error}") from error
    except RecursionError:
        raise ProfileError("profile is nested too deeply") from None
    top = Fields(parsed, "profile")
    identity = _identity(top.table("identity"))
    defaults = top.table("defaults")
    builder = TreeBuilder(identity, _rules(top.table("rules")), defaults.raw("proprietary", ""))
    defaults.finish()
    builder.add_directories(top.table("directories"))
    builder.add_files(top.table("files"))
    toolkit = top.table("toolkit")
    profile = Profile(
        name=top.text("name"),
        summary=top.text("summary", ""),
        atr=_atr(top),
        files=builder.finish(),
        pins=_pins(top.table("pins")),
        identity=identity,
        personal=builder.personal,
        auth=_auth(top.table("authentication")) if "authentication" in top else None,
        toolkit=_toolkit(toolkit),
        quirks=_quirks(top.table("quirks")),
        channels=top.number("channels", 4, low=1, high=_MAX_CHANNELS),
    )
    top.finish()
    return profile


def _atr(top: Fields) -> bytes:
    atr = top.raw("atr")
    try:
        parsed = parse_atr(atr)
    except AtrError as error:
        raise ProfileError(f"profile: {error}") from error
    if not parsed.has_t0:
        raise ProfileError(f"profile: ATR {parsed} does not offer T=0")
    return atr


def _identity(fields: Fields) -> SubscriberIdentity:
    standard = SubscriberIdentity()
    identity = SubscriberIdentity(
        imsi=fields.text("imsi", standard.imsi),
        iccid=fields.text("iccid", standard.iccid),
        msisdn=fields.text("msisdn", standard.msisdn),
    )
    fields.finish()
    return identity


def _rules(fields: Fields) -> dict[int, AccessRule]:
    rules: dict[int, AccessRule] = {}
    for key in fields.names():
        if _RULE.fullmatch(key) is None or not 1 <= int(key) <= 254:
            raise fields.fault(f"rule {key!r} is not a record number in 1..254")
        entry = fields.table(key)
        rules[int(key)] = AccessRule(
            number=int(key),
            read=_access(entry, "read"),
            update=_access(entry, "update"),
            increase=_access(entry, "increase", Access.NEVER),
            manage=_access(entry, "manage", Access.ADM),
        )
        entry.finish()
    return rules


def _access(fields: Fields, key: str, default: Access | None = None) -> Access:
    value = fields.text(key) if default is None else fields.text(key, default.value)
    try:
        return Access(value)
    except ValueError as error:
        raise fields.fault(f"{key!r} is {value!r}, not one of {', '.join(a.value for a in Access)}") from error


def _pins(fields: Fields) -> dict[int, PinSpec]:
    pins: dict[int, PinSpec] = {}
    for name, reference in _PIN_NAMES.items():
        entry = fields.table(name)
        pins[reference] = PinSpec(
            pin=_digits(entry, "pin"),
            puk=_digits(entry, "puk"),
            is_enabled=entry.flag("enabled", default=True),
            tries=entry.number("tries", 3, low=1, high=15),
            puk_tries=entry.number("puk_tries", 10, low=1, high=15),
        )
        entry.finish()
    fields.finish()
    return pins


def _digits(fields: Fields, key: str) -> bytes:
    digits = fields.text(key)
    if not 4 <= len(digits) <= 8 or not digits.isdecimal() or not digits.isascii():
        raise fields.fault(f"{key!r} is not 4 to 8 digits")
    return digits.encode("ascii").ljust(8, b"\xff")


def _auth(fields: Fields) -> AuthSpec:
    auth = AuthSpec(
        ki=fields.raw("ki", length=16),
        opc=fields.raw("opc", length=16),
        seq=fields.number("seq", 0, high=(1 << 43) - 1),
        ind_bits=fields.number("ind_bits", 5, high=16),
        res_length=fields.number("res_length", 8, low=4, high=8),
        has_gsm_access=fields.flag("gsm_access", default=True),
    )
    fields.finish()
    return auth


def _toolkit(fields: Fields) -> ToolkitProfile:
    commands: list[bytes] = []
    menu: tuple[MenuItem, ...] = ()
    for number, entry in enumerate(fields.tables("commands"), start=1):
        items = menu_items(entry)
        commands.append(encode_profile_command(number, entry, items))
        menu = items or menu
        entry.finish()
    fields.finish()
    return ToolkitProfile(tuple(commands), menu)


def _quirks(fields: Fields) -> Quirks:
    silent = frozenset(fields.texts("no_91xx_after"))
    if not silent <= _QUIETABLE:
        raise fields.fault(f"'no_91xx_after' knows {', '.join(sorted(_QUIETABLE))}")
    search = fields.raw("search_no_match_sw", "6282", length=2)
    quirks = Quirks(silent, int.from_bytes(search), fields.flag("accept_blank_challenge", default=False))
    fields.finish()
    return quirks
