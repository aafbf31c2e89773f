# SPDX-License-Identifier: Apache-2.0
"""Directories and files as values."""

from remsim.readers.sim.profiles import load_profile

_FILES = load_profile("default").files


def test_child_directory_is_found_and_a_file_is_none() -> None:
    telecom = _FILES.mf.child_df(0x7F10)
    assert telecom is not None
    assert telecom.name == "DF.TELECOM"
    assert _FILES.mf.child_df(0x2FE2) is None
    assert _FILES.mf.child_df(0x7F99) is None


def test_number_of_records_follows_from_the_sizes() -> None:
    assert _FILES.efs["3F00/7F10/6F3A"].record_count == 100
    assert _FILES.efs["3F00/2FE2"].record_count == 0


def test_shared_files_have_one_key() -> None:
    assert _FILES.efs["3F00/7F20/6F07"].key == "3F00/USIM/6F07"
