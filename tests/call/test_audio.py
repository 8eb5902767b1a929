"""The voice of one call: readers in several formats, what waits to be said, and what becomes of both when the media
channel fails and when the call ends. No clock, no channel: the test says what comes in.
"""

from __future__ import annotations

import gc
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtra_core.call import CallEnd, Counters, EndedBy
from voxtra_core.call.audio import PLAYOUT_SECONDS, AudioFeed, CallAudio
from voxtra_core.errors import CallEnded, MediaFailed
from voxtra_core.media import AudioChunk
from voxtra_core.media.formats import ALAW, SLIN, SLIN16, ULAW, AudioFormat
from voxtra_core.media.g711 import slin_to_ulaw

from .bench import error_of

FAILED = MediaFailed("no port")
ENDED = CallEnded("channel-1", CallEnd(16, EndedBy.REMOTE))
FRAME = struct.pack("<160h", *range(0, 16000, 100))


class Held:
    """Whether the far end hears something else."""

    so = False

    def __call__(self) -> bool:
        return self.so


def audio_of(wire: AudioFormat = SLIN, counters: Counters | None = None, held: Held | None = None) -> CallAudio:
    return CallAudio(wire, is_held=held or Held(), counters=counters or Counters())


def taken(feed: AudioFeed) -> list[AudioChunk]:
    return [feed.take() for _ in range(len(feed))]


def chunk(frames: int = 1, format: AudioFormat = SLIN) -> AudioChunk:
    return AudioChunk(bytes([1, 2]) * (frames * format.frame_bytes // 2), format)


# ---- the far end's voice ---------------------------------------------------------------------------------------------


def test_each_reader_has_its_own_format() -> None:
    audio = audio_of()
    slin, ulaw, again = audio.listen(SLIN, 10), audio.listen(ULAW, 10), audio.listen(ULAW, 10)
    audio.receive(FRAME, 5.0)
    assert taken(slin) == [AudioChunk(FRAME, SLIN, 0, 5.0)]
    assert taken(ulaw) == taken(again) == [AudioChunk(slin_to_ulaw(FRAME), ULAW, 0, 5.0)]


@given(st.lists(st.sampled_from([SLIN, ULAW, ALAW, SLIN16]), min_size=1, max_size=5), st.integers(1, 30))
def test_all_of_one_format_hear_the_same_and_none_is_late_to_begin(formats: list[AudioFormat], frames: int) -> None:
    audio = audio_of()
    feeds = [audio.listen(wanted, 100) for wanted in formats]
    for index in range(frames):
        audio.receive(FRAME, index * 0.02)
    heard = {wanted: taken(feed) for wanted, feed in zip(formats, feeds, strict=True)}
    for wanted, chunks in heard.items():
        seconds = sum(len(each.data) for each in chunks) / (wanted.rate * wanted.bytes_per_sample)
        assert frames * 0.02 - 0.02 <= seconds <= frames * 0.02
        assert all(each.format == wanted for each in chunks)
    assert audio.stats().seconds_received == pytest.approx(frames * 0.02)


def test_whoever_is_late_loses_the_oldest_and_sees_it() -> None:
    counters = Counters()
    audio = audio_of(counters=counters)
    slow, quick = audio.listen(SLIN, 3), audio.listen(SLIN, 100)
    for index in range(10):
        audio.receive(FRAME, float(index))
    assert [each.sequence for each in taken(slow)] == [7, 8, 9]
    assert [each.sequence for each in taken(quick)] == list(range(10))
    assert (slow.dropped, quick.dropped, counters.items_dropped, audio.stats().chunks_dropped) == (7, 0, 7, 7)


def test_what_a_reader_has_lost_is_counted_also_when_it_is_gone() -> None:
    audio = audio_of()
    feed = audio.listen(SLIN, 1)
    for index in range(5):
        audio.receive(FRAME, float(index))
    del feed
    gc.collect()
    assert audio.stats().chunks_dropped == 4


def test_a_limit_that_is_none() -> None:
    with pytest.raises(ValueError, match="limit"):
        audio_of().listen(SLIN, 0)


def test_a_reader_that_nobody_holds_is_gone_and_so_is_its_format() -> None:
    audio = audio_of()
    kept, dropped = audio.listen(SLIN, 10), audio.listen(ULAW, 10)
    assert set(audio._branches) == {SLIN, ULAW}
    del dropped
    gc.collect()
    assert set(audio._branches) == {SLIN}
    audio.receive(FRAME, 0.0)
    assert len(kept) == 1


def test_a_reader_that_is_closed_is_gone_although_somebody_holds_it() -> None:
    audio = audio_of()
    kept, closed = audio.listen(ULAW, 10), audio.listen(ULAW, 10)
    closed.close()
    audio.receive(FRAME, 0.0)
    assert (len(kept), closed.is_over, audio.has_readers) == (1, True, True)
    kept.close()
    kept.close()
    assert not audio.has_readers


def test_a_reader_may_go_while_audio_comes_in() -> None:
    """The garbage collector takes one away whenever it likes: in the middle of handing out audio, too."""
    audio = audio_of()
    feeds = [audio.listen(wanted, 10) for wanted in (SLIN, ULAW, ALAW, SLIN16)]
    last = feeds[-1]
    feeds[0].ready().add_waker(lambda: feeds.clear())
    audio.receive(FRAME, 0.0)
    audio.receive(FRAME, 0.02)
    assert len(last) == 2
    assert set(audio._branches) == {SLIN16}


# ---- ours ------------------------------------------------------------------------------------------------------------


def test_what_is_sent_before_there_is_a_channel_waits_for_it() -> None:
    audio = audio_of()
    sent = audio.send(chunk())
    assert sent.done
    assert audio.next_frame() is None
    audio.opened()
    assert audio.next_frame() == chunk().data
    assert audio.next_frame() is None
    audio.send(chunk())
    audio.lost()
    assert audio.next_frame() is None
    audio.opened()
    assert audio.next_frame() == chunk().data
    assert audio.stats().openings == 2


def test_what_is_sent_while_a_prompt_is_played_waits_for_its_end() -> None:
    held = Held()
    audio = audio_of(held=held)
    audio.opened()
    audio.send(chunk())
    held.so = True
    assert audio.next_frame() is None
    held.so = False
    assert audio.next_frame() == chunk().data


def test_who_sends_faster_than_it_is_heard_waits_for_room() -> None:
    audio = audio_of()
    audio.opened()
    room = round(PLAYOUT_SECONDS / 0.02)
    waiting = [audio.send(chunk()) for _ in range(room + 3)]
    assert [sent.done for sent in waiting] == [True] * room + [False] * 3
    waiting[room].abandon(0.0)
    assert audio.stats().seconds_waiting == pytest.approx(PLAYOUT_SECONDS + 0.04)
    assert audio.next_frame() is not None
    assert [sent.done for sent in waiting[room:]] == [False, True, False]
    frames = 1
    while audio.next_frame() is not None:
        frames += 1
    assert frames == room + 2, "the one that was withdrawn is not said"


def test_any_format_is_said_in_that_of_the_wire() -> None:
    audio = audio_of(SLIN)
    audio.opened()
    audio.send(AudioChunk(slin_to_ulaw(FRAME), ULAW))
    audio.send(chunk(format=SLIN16))
    first = audio.next_frame()
    assert first is not None
    assert slin_to_ulaw(first) == slin_to_ulaw(FRAME)
    second = audio.next_frame()
    assert second is not None
    assert len(second) == SLIN.frame_bytes


def test_flushing_tells_how_much_was_sent_since_the_last_time() -> None:
    audio = audio_of()
    audio.opened()
    waiting = [audio.send(chunk(5)) for _ in range(4)]
    drained = audio.drain()
    assert [sent.done for sent in waiting] == [True, True, False, False]
    for _ in range(3):
        audio.next_frame()
    assert audio.flush() == pytest.approx(0.06)
    assert all(sent.done for sent in waiting)
    assert drained.done
    assert (audio.flush(), audio.next_frame()) == (0.0, None)
    stats = audio.stats()
    assert (stats.seconds_sent, stats.seconds_flushed, stats.seconds_waiting) == pytest.approx((0.06, 0.34, 0.0))


def test_draining_ends_with_the_last_frame() -> None:
    audio = audio_of()
    audio.opened()
    assert audio.drain().done
    audio.send(chunk(2))
    drained = audio.drain()
    audio.next_frame()
    assert not drained.done
    audio.next_frame()
    assert drained.result() is None


# ---- the end ---------------------------------------------------------------------------------------------------------


def test_a_failure_ends_every_reader_and_everybody_who_waits() -> None:
    audio = audio_of()
    feed = audio.listen(ULAW, 10)
    audio.receive(FRAME, 0.0)
    ready = audio.listen(SLIN, 10)
    sent = [audio.send(chunk(10)) for _ in range(3)]
    drained = audio.drain()
    audio.failed(FAILED)
    assert (sent[0].result(), error_of(sent[1]), error_of(sent[2]), error_of(drained)) == (None, FAILED, FAILED, FAILED)
    assert (feed.error, ready.error, ready.is_over) == (FAILED, FAILED, True)
    assert len(taken(feed)) == 1, "what has come can still be heard"
    assert feed.is_over
    assert audio.next_frame() is None
    audio.receive(FRAME, 0.0)
    assert len(feed) == 0


def test_after_a_failure_nothing_works_until_somebody_tries_again() -> None:
    audio = audio_of()
    audio.failed(FAILED)
    assert audio.has_failed
    assert (audio.listen(SLIN, 1).error, error_of(audio.drain())) == (FAILED, FAILED)
    with pytest.raises(MediaFailed):
        audio.send(chunk())
    audio.retry()
    feed = audio.listen(SLIN, 1)
    assert audio.send(chunk()).done
    audio.opened()
    audio.receive(FRAME, 0.0)
    assert (len(feed), audio.next_frame(), audio.has_failed) == (1, chunk().data, False)


def test_what_had_been_buffered_when_it_failed_is_not_said_later() -> None:
    audio = audio_of()
    audio.send(chunk())
    audio.failed(FAILED)
    audio.retry()
    audio.opened()
    assert audio.next_frame() is None


def test_the_calls_end_is_no_error_to_a_reader_and_one_to_who_waits() -> None:
    audio = audio_of()
    audio.opened()
    feed = audio.listen(SLIN, 10)
    ready = feed.ready()
    sent = [audio.send(chunk(10)) for _ in range(2)]
    drained = audio.drain()
    audio.close(ENDED)
    assert (feed.error, feed.is_over, ready.done) == (None, True, True)
    assert (error_of(sent[1]), error_of(drained)) == (ENDED, ENDED)
    assert not audio.stats().is_open


# ---- the ear ---------------------------------------------------------------------------------------------------------


def test_what_is_overheard_counts_while_nothing_else_comes() -> None:
    """The media channel brings a frame each 20 ms until 0.1 s; the ear has all of them 5 ms later, to the end."""
    audio = CallAudio(SLIN, is_held=lambda: False, is_played_to=lambda: True, counters=Counters())
    feed = audio.listen(SLIN, 100)
    for number in range(20):
        if number <= 5:
            audio.receive(struct.pack("<h", number) * 160, number * 0.02)
        audio.overhear(struct.pack("<h", number) * 160, number * 0.02 + 0.005)
    assert [struct.unpack_from("<h", each.data)[0] for each in taken(feed)] == list(range(20))
