# SPDX-License-Identifier: Apache-2.0
"""Abilities in version strings: what is one, what is not, and which bit is which."""

import pytest

from remsim.wire.link import abilities, ability_bits


@pytest.mark.parametrize(
    ("software", "version", "expected"),
    [
        ("remsim-client", "0.3.0+xfd7f", abilities.ABILITIES),
        ("remsim-client", "0.3.0+xffff", abilities.REGISTRY),
        ("remsim-client", "0.3.0+x0", ()),
        ("remsim-client", "0.3.0+x5", ("echo.1", "slots.1")),
        # Bits of later versions say nothing to this one.
        ("remsim-client", "0.3.0+x8000000000000001", ("echo.1",)),
        ("remsim-client", "+x1", ("echo.1",)),
        # Anything else is a version, and no more.
        ("remsim-client", "0.3.0+x", None),
        ("remsim-client", "0.3.0+x05", None),
        ("remsim-client", "0.3.0+xFF", None),
        ("remsim-client", "0.3.0+x10000000000000000", None),
        ("remsim-client", "0.3.0+x1\n", None),
        ("remsim-client", "0.3.0+x١", None),
        ("remsim-client", "0.3.0+git.x5", None),
        ("remsim-client", "0.3.0+x5+x5", None),
        ("remsim-client", "0.3.0x5", None),
        ("remsim-client", "1.1.3", None),
        ("osmo-remsim-client", "0.3.0+x7f", None),
        ("remsim_ifdhandler", "0.3.0+x7f", None),
    ],
)
def test_abilities_are_the_build_metadata_of_a_remsim_program(
    software: str, version: str, expected: tuple[str, ...] | None
) -> None:
    assert ability_bits.named_abilities(software, version) == expected


@pytest.mark.parametrize(
    ("version", "named", "expected"),
    [
        ("0.3.0", ("slots.1", "echo.1"), "0.3.0+x5"),
        ("0.3.0", (), "0.3.0+x0"),
        ("0.3.0+x7f", None, "0.3.0"),
        ("0.3.0+x7f", ("echo.1",), "0.3.0+x1"),
        ("0.3.0.dev3+g1234567", ("echo.1",), "0.3.0.dev3+x1"),
        ("0.3.0.dev3+g1234567", None, "0.3.0.dev3+g1234567"),
        ("1" * 32, ("echo.1",), "1" * 29 + "+x1"),
    ],
)
def test_version_with_abilities_is_a_legal_name(version: str, named: tuple[str, ...] | None, expected: str) -> None:
    assert ability_bits.version_with(version, named) == expected
    assert 1 <= len(expected) <= 32


def test_every_ability_has_the_bit_that_it_had() -> None:
    # A bit never changes its meaning: programs of different versions meet.
    assert {name: 1 << bit for bit, name in enumerate(abilities.REGISTRY)} == {
        "echo.1": 0x01,
        "advertise.1": 0x02,
        "slots.1": 0x04,
        "revoke.1": 0x08,
        "audit.1": 0x10,
        "certified.1": 0x20,
        "cards.1": 0x40,
        "resume.1": 0x80,
        "sessions.1": 0x100,
        "ahead.1": 0x200,
        "slots.2": 0x400,
        "client.1": 0x800,
        "inventory.1": 0x1000,
        "trace.1": 0x2000,
        "times.1": 0x4000,
        "conditions.1": 0x8000,
    }
