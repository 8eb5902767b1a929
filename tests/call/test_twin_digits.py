"""A key is told twice, by ARI and by the media channel, and is to be heard once.

What is promised: of keys pressed one after another, each told by both in the order they were pressed, however late
either is within the bounds, each is heard once. Where one of the two has lost some, still each key is heard, and once,
as long as the keys that one alone has told are not pressed again within the bounds: then it cannot be known whether the
next report is of the old key or of the new one.

No clock: the reports have the times that the test gives them.
"""

from __future__ import annotations

import attrs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from voxtra_core.call.dtmf import ARI_LATE, MAX_DIGITS, MEDIA_LATE, TwinDigits
from voxtra_core.errors import MediaFailed
from voxtra_core.media.formats import SLIN

from .bench import inbound, pressed

KEYS = "0123456789*#ABCD"


@attrs.frozen(order=True)
class Report:
    """One transport tells of one key."""

    at: float
    number: int
    by_media: bool
    key: str = attrs.field(order=False)


@st.composite
def reports(draw: st.DrawFn, keys: str = KEYS, *, unique: bool = False, losses: bool = False) -> list[Report]:
    """Keys, and the two reports of each in the order that they come in.

    Each transport keeps the order. The media channel is late by less than ``MEDIA_LATE``, ARI by less than
    ``ARI_LATE``.
    """
    told: list[Report] = []
    pressed_at, last = 0.0, {True: 0.0, False: 0.0}
    loser = draw(st.booleans())
    for number, key in enumerate(draw(st.lists(st.sampled_from(keys), max_size=12, unique=unique))):
        pressed_at += draw(st.floats(0.05, 3.0))
        for by_media, bound in ((True, MEDIA_LATE), (False, ARI_LATE)):
            if losses and by_media is loser and draw(st.booleans()):
                continue
            at = max(last[by_media], pressed_at + draw(st.floats(0, bound * 0.99)))
            assume(at < pressed_at + bound)
            last[by_media] = at
            told.append(Report(at, number, by_media, key))
    return sorted(told)


def heard(told: list[Report]) -> list[Report]:
    twins = TwinDigits()
    return [report for report in told if twins.is_news(report.key, report.at, by_media=report.by_media)]


@given(reports())
def test_each_key_is_heard_once_and_in_order(told: list[Report]) -> None:
    """Also the same key again and again, and with ARI by seconds behind the media channel."""
    assert [report.key for report in heard(told)] == [report.key for report in told if report.by_media]


@given(reports("1"))
def test_one_key_again_and_again(told: list[Report]) -> None:
    assert len(heard(told)) == sum(report.by_media for report in told)


@given(reports(unique=True, losses=True))
def test_what_one_has_lost_the_other_tells(told: list[Report]) -> None:
    """No key twice: each is heard once, whichever of the two has lost some."""
    assert sorted(report.key for report in heard(told)) == sorted({report.key for report in told})


def test_alone_each_tells_all() -> None:
    """The media channel is out of the bridge while a prompt is played; ARI may be without a link."""
    for by_media in (True, False):
        twins = TwinDigits()
        assert [twins.is_news("1", second * 0.2, by_media=by_media) for second in range(300)] == [True] * 300


def test_what_the_media_channel_has_not_told_within_a_second_it_never_will() -> None:
    """A prompt was played when the first was pressed; the second is the same key, told by both."""
    twins = TwinDigits()
    assert twins.is_news("1", 0.0, by_media=False)
    assert twins.is_news("1", MEDIA_LATE, by_media=True)
    assert not twins.is_news("1", MEDIA_LATE + 0.1, by_media=False)


def test_the_link_is_back_and_what_it_has_not_told_it_never_will() -> None:
    twins = TwinDigits()
    assert twins.is_news("1", 0.0, by_media=True)
    twins.link_restored()
    assert twins.is_news("1", 1.0, by_media=False)
    assert not twins.is_news("1", 1.1, by_media=True)


def test_what_is_not_promised() -> None:
    """One has lost a key, and the same key follows within the bounds: the report of the second is taken for the
    first's, and the second is heard when the other tells it, later than it could be. None is heard twice.
    """
    twins = TwinDigits()
    assert twins.is_news("1", 0.0, by_media=True)  # ARI has lost this one
    assert not twins.is_news("1", 5.0, by_media=False)  # and this is of the second
    assert twins.is_news("1", 5.1, by_media=True)


def test_memory_is_bounded() -> None:
    """By time, and where a peer tells of thousands of keys, by number."""
    twins = TwinDigits()
    for _ in range(10_000):
        assert twins.is_news("1", 0.0, by_media=True)
    assert len(twins._by_media) == MAX_DIGITS
    twins = TwinDigits()
    for second in range(1000):
        twins.is_news("1", float(second), by_media=True)
    assert len(twins._by_media) <= ARI_LATE
    for tenth in range(1000):
        twins.is_news("1", 2000 + tenth / 10, by_media=False)
    assert len(twins._by_ari) <= MEDIA_LATE * 10 + 1


# ---- as a call hears them --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("media_first", [True, False])
def test_listen_dtmf_hears_a_key_once(media_first: bool) -> None:
    bench = inbound()
    bench.call.use_audio(SLIN, bench.now)
    for digit in "1123":
        if media_first:
            bench.call.receive_media_digit(digit, bench.now)
        bench.event(pressed(digit))
        if not media_first:
            bench.call.receive_media_digit(digit, bench.now)
        bench.wait(0.1)
    digits = [bench.call.listen_dtmf(bench.now, 0).result() for _ in range(5)]
    assert digits == [*"1123", None]


def test_a_listener_that_waits_is_told_by_the_media_channel() -> None:
    bench = inbound()
    bench.call.use_audio(SLIN, bench.now)
    listener = bench.call.listen_dtmf(bench.now, 5.0)
    bench.call.receive_media_digit("7", bench.now)
    assert listener.result() == "7"
    assert bench.call.next_deadline() is None


def test_without_a_media_channel_ari_alone_tells() -> None:
    bench = inbound()
    bench.call.use_audio(SLIN, bench.now)
    bench.call.media_failed(MediaFailed("no"), bench.now)
    for _ in range(3):
        bench.event(pressed("1"))
    assert [bench.call.listen_dtmf(bench.now, 0).result() for _ in range(4)] == ["1", "1", "1", None]
