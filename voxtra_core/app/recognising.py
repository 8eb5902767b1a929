"""The recogniser of one call: a task that gives it what it is to hear, and tells what it has understood.

It is made in a worker, since what it loads may take its time, and is replaced when it has failed or takes too long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Protocol

import attrs

from ..agent.commands import AbandonRecogniser, Finish, Hear
from ..agent.machine import ConversationMachine
from ..agent.providers import Recogniser
from ..errors import LocalProtocolError
from ..media.chunk import AudioChunk
from ..media.formats import SLIN16, AudioFormat, as_format
from ..media.transcode import Transcoder
from ..pending import Pending
from ..session import Driver
from .delivering import InThread
from .parts import CANCELLED, is_async, outcome_of_part, transcripts

__all__ = ["Recognising"]


class Start(Protocol):
    """Starts tasks."""

    def __call__(self, name: str, function: Callable[[], Awaitable[None]], /) -> int:
        """Runs it in a task; its number."""


@attrs.define(eq=False)
class _Work:
    """What one recogniser is to do, in order."""

    queue: deque[Hear | Finish] = attrs.field(factory=deque)
    """The first of them is what it does."""
    came: Pending[None] = attrs.field(factory=Pending)
    task: int = 0
    recogniser: _Fitted | None = None
    is_making: bool = False
    """Whether that is being made. It is waited for, or nobody could close it."""


class Recognising:
    """``make()`` makes a recogniser, and ``close(recogniser)`` has one closed. ``step()`` is called when the
    machine has been told something.
    """

    def __init__(
        self,
        make: Callable[[], Awaitable[Recogniser]],
        machine: ConversationMachine,
        driver: Driver,
        *,
        in_thread: InThread,
        start: Start,
        cancel: Callable[[int], object],
        cancel_late: Callable[[int], object],
        close: Callable[[object], object],
        step: Callable[[], object],
    ) -> None:
        self._make = make
        self._machine = machine
        self._driver = driver
        self._in_thread = in_thread
        self._start = start
        self._cancel = cancel
        self._cancel_late = cancel_late
        self._close = close
        self._step = step
        self._work: _Work | None = None

    def begin(self) -> None:
        """Have a recogniser made, if there is none: the first words are to find it ready."""
        if self._work is None:
            work = self._work = _Work()
            work.task = self._start("recogniser", partial(self._run, work))

    def perform(self, command: Hear | Finish | AbandonRecogniser) -> None:
        """Do this, behind what is to be done already."""
        if isinstance(command, AbandonRecogniser):
            left = self._work.queue if self._work is not None else deque[Hear | Finish]()
            self.close()
            for one in left:
                if one.utterance > command.utterance:
                    self.perform(one)
            return
        self.begin()
        assert self._work is not None
        self._work.queue.append(command)
        self._work.came.resolve(None)

    def close(self) -> None:
        """It is wanted no more."""
        work, self._work = self._work, None
        if work is None:
            return
        if work.is_making:
            self._cancel_late(work.task)
        else:
            self._cancel(work.task)
            self._let_go(work)

    async def _run(self, work: _Work) -> None:
        try:
            await self._do(work)
        except BaseException:
            if self._work is work and not self._machine.is_over:  # it was not cancelled from here: see CANCELLED
                self._work = None
                self._let_go(work)
                if work.queue:
                    self._failed(work.queue, LocalProtocolError(CANCELLED))
                for one in work.queue:
                    self.perform(one)
                self._step()
            raise

    async def _do(self, work: _Work) -> None:
        while True:
            if work.recogniser is None:
                work.is_making = True
                work.recogniser = await self._new()
                work.is_making = False
            if self._work is not work:  # closed meanwhile
                self._let_go(work)
                return
            while not work.queue:
                work.came = Pending()
                await self._driver.park(work.came)
            if not await self._recognise(work.recogniser, work.queue):
                self._let_go(work)

    async def _new(self) -> _Fitted:
        format = self._machine.ear.format
        try:
            return _Fitted(await self._make(), format)
        except Exception as error:
            return _Fitted(_Broken(error), format)

    def _let_go(self, work: _Work) -> None:
        if work.recogniser is not None:
            self._close(work.recogniser.part)
            work.recogniser = None

    async def _recognise(self, recogniser: _Fitted, queue: deque[Hear | Finish]) -> bool:
        """The next of it; whether the recogniser is still of use."""
        driver, machine, one = self._driver, self._machine, queue[0]
        is_well = True
        try:
            if isinstance(one, Finish):
                machine.receive_asked_recogniser(one.utterance, driver.time())
                heard = await outcome_of_part(self._in_thread, recogniser.finish)
            else:
                data = one.chunk.data if recogniser.is_async else _all_at_once(one, queue)
                heard = await outcome_of_part(self._in_thread, recogniser.hear, recogniser.fitted(data))
            if isinstance(heard, Iterator):  # which does its work while it is read
                heard = await self._in_thread(partial(list, heard))
            now = driver.time()
            for transcript in transcripts(heard):
                machine.receive_transcript(one.utterance, transcript, now)
            if isinstance(one, Finish):
                machine.receive_recognised(one.utterance, now)
            queue.popleft()
        except Exception as error:
            self._failed(queue, error)
            is_well = False
        self._step()
        return is_well

    def _failed(self, queue: deque[Hear | Finish], error: Exception) -> None:
        """There will be no more of the utterance that is the first in the queue."""
        utterance = queue[0].utterance
        self._machine.receive_recognised(utterance, self._driver.time(), error)
        while queue and queue[0].utterance == utterance:
            queue.popleft()


class _Fitted:
    """A recogniser, and what it takes to give it what the ear hears."""

    def __init__(self, recogniser: Recogniser, format: AudioFormat) -> None:
        self.part = recogniser
        self._transcoder = Transcoder(format, as_format(recogniser.format))
        self.hear = recogniser.hear
        self.finish = recogniser.finish
        self.is_async = is_async(recogniser.hear)

    def fitted(self, data: bytes) -> AudioChunk:
        """In its own format. Of two utterances the second continues nothing, but there is silence between them."""
        return AudioChunk(self._transcoder.convert(data), self._transcoder.target)


class _Broken:
    """Stands for a recogniser that could not be made."""

    format = SLIN16

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def hear(self, chunk: AudioChunk) -> None:
        """It cannot."""
        raise self._error

    async def finish(self) -> None:
        """Nor this."""
        raise self._error


def _all_at_once(first: Hear, queue: deque[Hear | Finish]) -> bytes:
    """What is to be heard of the same utterance by now: all of that is the first in the queue then."""
    parts = [first.chunk.data]
    while len(queue) > 1 and isinstance(following := queue[1], Hear) and following.utterance == first.utterance:
        parts.append(following.chunk.data)
        del queue[1]
    return b"".join(parts)
