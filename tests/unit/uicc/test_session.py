# SPDX-License-Identifier: Apache-2.0
"""The card's working memory."""

import pytest

from remsim.card.tpdu import CommandTpdu
from remsim.readers.sim.profiles import load_profile
from remsim.uicc import UiccState
from remsim.uicc.errors import RefusedError
from remsim.uicc.files import EfKind
from remsim.uicc.session import UiccSession, require_le

_PROFILE = load_profile("default")


def _session() -> UiccSession:
    return UiccSession(_PROFILE, UiccState.fresh(_PROFILE), _PROFILE.identity.derive(7))


def test_contents_come_from_the_state_the_identity_or_the_profile() -> None:
    session = _session()
    imsi, loci = _PROFILE.files.efs["3F00/USIM/6F07"], _PROFILE.files.efs["3F00/USIM/6F7E"]
    assert session.content(imsi).hex() == "080910100000000080"
    assert session.content(loci) == loci.content
    session.write(loci, 10, b"\x00")
    assert session.content(loci) == loci.content[:10] + b"\x00"
    assert set(session.state.files) == {loci.key}


def test_short_identifier_of_the_current_file_keeps_its_record() -> None:
    session = _session()
    channel = session.channels[0]
    channel.select_df(_PROFILE.files.apps[0])
    session.current_ef(channel, 0x01, EfKind.LINEAR)
    channel.record = 2
    session.current_ef(channel, 0x01, EfKind.LINEAR)
    assert channel.record == 2


def test_wrong_length_is_refused_with_the_right_one() -> None:
    require_le(CommandTpdu(0, 0xB2, 1, 4, 0), 256)
    with pytest.raises(RefusedError, match="6C0E"):
        require_le(CommandTpdu(0, 0xB2, 1, 4, 0), 14)
