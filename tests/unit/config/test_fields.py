# SPDX-License-Identifier: Apache-2.0
"""Field types take the Python values that tests and the demo build models with, and nothing that only looks alike."""

import ipaddress
import re
from pathlib import Path
from typing import cast

import pytest
from pydantic import TypeAdapter, ValidationError

from remsim.config import HostPort, fields
from remsim.config.values import SettingText
from remsim.core.ids import ClientSlot


def adapter(kind: object) -> TypeAdapter[object]:
    """Wrap a field type; annotated types are values to the type checker, so it is told nothing about them."""
    return TypeAdapter(cast("type[object]", kind))


def test_ready_made_values_are_taken_as_they_are() -> None:
    pattern = re.compile("x")
    assert TypeAdapter[HostPort](fields.RsproListen).validate_python(HostPort("", 1)) == HostPort("", 1)
    assert TypeAdapter[Path](fields.FilePath).validate_python(Path("x")) == Path("x")
    assert TypeAdapter[bytes](fields.Atr).validate_python(b"\x3b\x00") == b"\x3b\x00"
    assert TypeAdapter[ClientSlot](fields.ClientSlotField).validate_python(ClientSlot(1, 2)) == ClientSlot(1, 2)
    assert TypeAdapter[re.Pattern[str]](fields.Pattern).validate_python(pattern) is pattern
    network = ipaddress.ip_network("10.0.0.0/8")
    assert TypeAdapter[object](fields.Plaintext).validate_python((network,)) == (network,)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (fields.Id, "7", 7),
        (fields.Seconds, "0.5", 0.5),
        (fields.Switch, "Yes", True),
        (fields.PlainText, "x", "x"),
        (fields.BankdAddresses, "a, b:1,", (HostPort("a", 9999), HostPort("b", 1))),
        (fields.GsmtapAddress, "h", HostPort("h", 4729)),
        (fields.MetricsListen, "h", HostPort("h", 9996)),
        (fields.IdsOrSwitch, "on", True),
    ],
)
def test_text_from_outside_is_converted(kind: object, text: str, value: object) -> None:
    assert adapter(kind).validate_python(SettingText(text)) == value


@pytest.mark.parametrize("kind", [fields.Id, fields.Seconds, fields.Switch])
def test_string_of_a_file_is_not_converted(kind: object) -> None:
    with pytest.raises(ValidationError):
        adapter(kind).validate_python("1")
