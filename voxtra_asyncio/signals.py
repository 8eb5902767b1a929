"""The signals that are to end the program, reported in the loop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from threading import current_thread, main_thread
from typing import Any

from voxtra_core.app import SIGNALS, SIGNALS_HEEDED, SignalHandler

__all__ = ["signals_reported_to"]


@contextmanager
def signals_reported_to(on_signal: SignalHandler) -> Iterator[None]:
    """Report them for as long as this lasts, as :class:`voxtra_core.app.Backend` says. In the main thread only.

    They are counted where they strike, and not in the loop: one that a handler blocks is to be killed by the last of
    them.
    """
    loop = asyncio.get_running_loop()
    left = SIGNALS_HEEDED
    former: dict[int, Any] = {}  # what signal.getsignal() says, which signal.signal() takes

    def strike(number: int, _: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            for each in former:
                signal.signal(each, signal.SIG_DFL)
        loop.call_soon_threadsafe(partial(on_signal, signal.Signals(number).name, number))

    if current_thread() is main_thread():
        for name in SIGNALS:
            number = signal.Signals[name]
            if (handler := signal.getsignal(number)) not in {signal.SIG_IGN, None}:  # None: not of Python's making
                former[number] = handler
                with suppress(NotImplementedError):  # on Windows, where every signal wakes the loop
                    loop.add_signal_handler(number, lambda: None)  # so that it does here, at whatever instant it comes
                signal.signal(number, strike)
    try:
        yield
    finally:
        for each, handler in former.items():
            with suppress(NotImplementedError):
                loop.remove_signal_handler(each)
            signal.signal(each, handler)
