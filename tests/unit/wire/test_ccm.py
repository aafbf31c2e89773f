# SPDX-License-Identifier: Apache-2.0
"""The control messages beside RSPRO."""

import pytest

from remsim.wire import ccm, ipa


def test_frames_are_those_of_the_reference() -> None:
    assert (ccm.PING.hex(), ccm.PONG.hex(), ccm.ID_ACK.hex()) == ("0001fe00", "0001fe01", "0001fe06")


def test_we_ask_for_the_unit_id_only() -> None:
    # known-limits.md 6: a classic client aborts on a tag that it does not know.
    assert ccm.ID_GET.hex() == "0003fe040108"


@pytest.mark.parametrize(
    ("asked", "response"),
    [
        ("0108", "000afe05000708302f302f3000"),
        ("0100", "0005fe0500020000"),
        ("01080100", "000efe05000708302f302f300000020000"),
        # Half a tag, tags that are not known (known-limits.md 6), and repeated ones are skipped.
        ("010801", "000afe05000708302f302f3000"),
        ("017f", "0001fe05"),
        ("", "0001fe05"),
        ("01000100", "0005fe0500020000"),
    ],
)
def test_identity_request_is_answered_and_acknowledged(asked: str, response: str) -> None:
    assert ccm.answer_id_get(bytes.fromhex(asked)).hex() == response + "0001fe06"


def test_answer_to_a_request_of_any_length_fits_a_classic_frame() -> None:
    asked = b"".join(bytes((1, tag)) for tag in range(256)) * 100
    assert len(ccm.answer_id_get(asked)) <= ipa.MAX_CLASSIC_FRAME
