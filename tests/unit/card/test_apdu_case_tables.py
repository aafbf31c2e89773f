# SPDX-License-Identifier: Apache-2.0
"""Commands whose direction depends on P1, P2 or P3, and those that the tables of apdu-cases.md lack."""

import pytest

from remsim.card.apdu_case_tables import Case, Family, family_of, look_up


@pytest.mark.parametrize(
    ("cla", "family"),
    [
        (0xA0, Family.GSM),
        (0x00, Family.INTER_INDUSTRY),
        (0x4F, Family.INTER_INDUSTRY),
        (0x60, Family.INTER_INDUSTRY),
        (0x80, Family.PROPRIETARY),
        (0xCA, Family.PROPRIETARY),
        (0xE1, Family.PROPRIETARY),
        (0xA1, None),
        (0x10, None),
        (0xFF, None),
    ],
)
def test_family_of_class_byte(cla: int, family: Family | None) -> None:
    assert family_of(cla) is family


@pytest.mark.parametrize(
    ("header", "case"),
    [
        # MANAGE SECURE CHANNEL: P1 names the step, P2 the block.
        ("0073000002", 2),
        ("0073010002", 3),
        ("0073018002", 3),
        ("0073014002", 3),
        ("0073012002", 2),
        ("0073016002", 2),
        ("007301a002", 2),
        ("007301c002", None),
        ("007301e002", None),
        ("0073020002", 3),
        ("0073036002", 2),
        ("0073040002", 3),
        ("0073050002", None),
        ("0073080002", None),
        # TRANSACT DATA.
        ("0075000002", 2),
        ("0075040002", 3),
        # AUTHENTICATE, odd instruction: blocks of data, blocks of the answer.
        ("0089800002", 3),
        ("0089000002", 3),
        ("0089a00002", 2),
        ("0089200002", 2),
        ("0089600002", 2),
        ("0089810002", 4),
        # STATUS and GET STATUS, on all channels.
        ("80f2010c00", 2),
        ("80f2400002", 4),
        ("c0f2400002", 4),
        ("e0f2100002", 4),
        # GET DATA: simple objects by exact Le, lists and stores by P3.
        ("80ca9f7f2d", 2),
        ("80ca9f7f00", 2),
        ("80ca2f0005", 4),
        ("80ca2f0000", 2),
        ("c0cabf2005", 4),
        ("c0cabf2000", 2),
        # RETRIEVE DATA: first block, next blocks, retransmission; GP GET DATA by P3.
        ("80cb008703", 4),
        ("80cb000005", 2),
        ("80cb002005", 2),
        ("80cb004005", 2),
        ("80cb006005", 2),
        ("80cb000105", 4),
        ("80cb000100", 2),
        ("80cbbf4f08", 4),
        ("c0cbbf4f00", 2),
        # STORE DATA.
        ("80e2910003", 4),
        ("80e2900003", 3),
        # TERMINATE.
        ("00e6000000", 1),
        ("00e8000005", 3),
        ("60e8000000", None),
        # Toolkit commands on channel 0 only.
        ("8010000005", 3),
        ("8110000005", None),
        # GET RESPONSE in every class.
        ("10c0000005", 2),
        ("e0c0000005", 2),
        # apdu-cases.md, 2.6: what Windows asks each card.
        ("00ca7f6800", 2),
    ],
)
def test_case_of_header(header: str, case: int | None) -> None:
    assert look_up(bytes.fromhex(header)) == (None if case is None else Case(case))
