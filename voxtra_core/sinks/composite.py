"""Several sinks as one."""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import Any
from weakref import WeakKeyDictionary

from ..recording import RecordingMetadata, RecordingSink, check_sink

__all__ = ["CompositeSink"]


class CompositeSink:
    """Tells each of its sinks, one after another, whether or not another fails.

    Where some have failed they are told again, and those that have not are not.
    """

    def __init__(self, *sinks: RecordingSink) -> None:
        for sink in sinks:
            check_sink(sink)
        self._sinks = sinks
        self._done: WeakKeyDictionary[RecordingMetadata, set[int]] = WeakKeyDictionary()

    def __repr__(self) -> str:
        return f"<CompositeSink of {', '.join(map(repr, self._sinks))}>"

    async def on_recording_complete(self, metadata: RecordingMetadata) -> None:
        """A recording is over. Raises an ``ExceptionGroup`` of what some have raised."""
        done = self._done.setdefault(metadata, set())
        errors: list[Exception] = []
        for index, sink in enumerate(self._sinks):
            if index in done:
                continue
            try:
                await _tell(sink, metadata)
                done.add(index)
            except Exception as error:
                error.add_note(f"from {sink!r}")
                errors.append(error)
        if not errors:
            del self._done[metadata]
        else:
            raise ExceptionGroup(f"{len(errors)} of {len(self._sinks)} sinks have failed", errors)


async def _tell(sink: RecordingSink, metadata: RecordingMetadata) -> None:
    method = sink.on_recording_complete
    if iscoroutinefunction(method) or metadata.tools is None:
        outcome: Any = method(metadata)
    else:
        outcome = await metadata.tools.in_thread(lambda: method(metadata))
    if hasattr(outcome, "__await__"):
        await outcome
