# SPDX-License-Identifier: Apache-2.0
"""Commands whose direction depends on P1, P2 or P3, and those that the tables of apdu-cases.md lack."""

import pytest

from remsim.card.apdu_case import Case, look_up


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
        ("60e8000005", 3),
        # (DE)ACTIVATE FILE of the file that its data name.
        ("0004000002", 3),
        ("0044080004", 3),
        ("0004000000", 1),
        # GET DATA with data, in all classes.
        ("81ca00fe02", 4),
        ("81ca00fe00", 2),
        ("00ca00fe02", 4),
        ("80caff5004", 4),
        ("80caff4000", 2),
        ("80cadf2105", 4),
        ("80cadf200b", 2),
        ("41cabf2108", 4),
        ("80ca006a05", 2),
        # In secure messaging P3 counts the checksum, if nothing else.
        ("84ca00e008", 4),
        ("84ca00e000", 2),
        ("88ca9f7f08", 4),
        ("0cca006610", 4),
        ("e5ca006608", 4),
        ("80ca5a0a10", 2),
        # So it does in every command of ISO/IEC 7816-4: Le is a data object, too.
        ("0cb000000d", 4),
        ("0db201040d", 4),
        ("0484000008", 4),
        ("60b0000010", 4),
        ("1cb0000010", 4),
        ("0cb0000000", 2),
        ("0cc0000010", 2),
        ("0cd6000010", 3),
        # Toolkit commands on all channels.
        ("8010000005", 3),
        ("8110000005", 3),
        ("c010000024", 3),
        ("c012000020", 2),
        ("e314000010", 3),
        ("cfc2000010", 4),
        ("c076000004", 4),
        ("c07c010005", 4),
        # IoT SAFE.
        ("8184000020", 2),
        ("812a000110", 4),
        ("812b800120", 4),
        ("812c000110", 3),
        ("812d800120", 4),
        ("8146000010", 4),
        ("8148000010", 4),
        ("814a000010", 4),
        ("81b0000003", 4),
        ("81b9000003", 4),
        ("81cbc30003", 4),
        ("81cd000003", 4),
        ("8124000010", 3),
        ("81d8000020", 4),
        # ISO/IEC 7816-4 and its further parts.
        ("002a9e9a20", 4),
        ("002241b606", 3),
        ("0086000010", 4),
        ("0047000005", 4),
        ("00b1000004", 4),
        ("00b3000404", 4),
        ("00d7000004", 3),
        ("00da010005", 3),
        ("00db3fff10", 3),
        ("00cc000010", 2),
        ("00cd000003", 4),
        ("00e2000005", 3),
        ("00ee000003", 3),
        ("0033000005", 4),
        ("00a5000002", 4),
        ("0006000000", 1),
        # GlobalPlatform beyond the card specification.
        ("80ea000010", 4),
        ("8088000010", 4),
        ("807a000008", 4),
        # A part of a chain has a part of the data; what brings none has no parts.
        ("10d6000010", 3),
        ("5088000010", 4),
        ("7ea4040010", 4),
        ("90e2910010", 4),
        ("d0c2000010", 4),
        ("f0e8000010", 4),
        ("10b0000010", None),
        ("9012000010", None),
        ("ffa4000002", None),
        ("20a4000002", None),
        ("b0a4000002", None),
        ("a1a4000002", None),
        # GET RESPONSE in every class.
        ("10c0000005", 2),
        ("e0c0000005", 2),
        # apdu-cases.md, 2.6: what Windows asks each card.
        ("00ca7f6800", 2),
    ],
)
def test_case_of_header(header: str, case: int | None) -> None:
    assert look_up(bytes.fromhex(header)) == (None if case is None else Case(case))
