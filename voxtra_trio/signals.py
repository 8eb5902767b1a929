"""The signals that are to end the program, reported in the loop."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import Any

import trio

from voxtra_core.app import SIGNALS, SIGNALS_HEEDED, SignalHandler

__all__ = ["signals_reported_to"]


@contextmanager
def signals_reported_to(on_signal: SignalHandler) -> Iterator[None]:
    """Report them for as long as this lasts, as :class:`voxtra_core.app.Backend` says. In the main thread only.

    They are counted where they strike, and not in the loop: one that a handler blocks is to be killed by the last of
    them.
    """
    token = trio.lowlevel.current_trio_token()
    left = SIGNALS_HEEDED
    former: dict[int, Any] = {}  # what signal.getsignal() says, which signal.signal() takes

    def strike(number: int, _: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            for each in former:
                signal.signal(each, signal.SIG_DFL)
        token.run_sync_soon(on_signal, signal.Signals(number).name, number)

    if current_thread() is main_thread():
        for name in SIGNALS:
            number = signal.Signals[name]
            if (handler := signal.getsignal(number)) not in {signal.SIG_IGN, None}:  # None: not of Python's making
                former[number] = handler
                signal.signal(number, strike)
    try:
        yield
    finally:
        for each, handler in former.items():
            signal.signal(each, handler)
