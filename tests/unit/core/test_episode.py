# SPDX-License-Identifier: Apache-2.0
"""Once when it begins, once when it ends."""

from remsim.core.episode import OncePerEpisode


def test_first_time_begins_and_repeats_are_counted() -> None:
    episodes = OncePerEpisode[str]()
    assert episodes.begins("B1:3", "no card")
    assert not episodes.begins("B1:3", "no card")
    assert not episodes.begins("B1:3", "no card")
    assert episodes.is_on("B1:3")
    assert episodes.ends("B1:3") == 2
    assert not episodes.is_on("B1:3")


def test_another_cause_is_another_episode() -> None:
    episodes = OncePerEpisode[str]()
    assert episodes.begins("B1:3", "no card")
    assert episodes.begins("B1:3", "mute")
    assert episodes.ends("B1:3") == 0


def test_keys_do_not_share_episodes() -> None:
    episodes = OncePerEpisode[int]()
    assert episodes.begins(1)
    assert episodes.begins(2)


def test_end_without_a_beginning_says_nothing() -> None:
    assert OncePerEpisode[int]().ends(1) is None
