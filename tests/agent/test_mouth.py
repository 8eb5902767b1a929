"""The mouth of a real call, where its audio cannot be had."""

from __future__ import annotations

from typing import Any, cast

import pytest

from voxtra_core.app.conversing import _AudioMouth
from voxtra_core.errors import MediaFailed
from voxtra_core.media.chunk import AudioChunk


class Audio:
    """Takes what it is given."""

    def __init__(self) -> None:
        self.chunks: list[AudioChunk] = []

    def send(self, chunk: AudioChunk) -> None:
        """Behind the rest."""
        self.chunks.append(chunk)

    def flush(self) -> None:
        """Drop it."""
        self.chunks.clear()


class Talk:
    """Of a call whose audio cannot be had at first."""

    def __init__(self) -> None:
        self.call = self
        self.audio_of_call = Audio()
        self.fails = True

    def audio(self) -> Audio:
        """The call's."""
        if self.fails:
            raise MediaFailed("refused")
        return self.audio_of_call

    def time(self) -> float:
        """The clock."""
        return 0.0


def test_what_failed_once_is_not_said_in_part() -> None:
    """A chunk that is lost is told at the next mark, also if those behind it could have been sent."""
    talk = Talk()
    mouth = _AudioMouth(cast(Any, talk))
    mouth.say(AudioChunk(bytes(160)), 0.0)
    talk.fails = False
    mouth.say(AudioChunk(bytes(160)), 0.0)
    told: list[Exception | None] = []
    mouth.mark(lambda error, now: told.append(error))
    (error,) = told
    with pytest.raises(MediaFailed):
        raise error or AssertionError
    assert talk.audio_of_call.chunks == []
