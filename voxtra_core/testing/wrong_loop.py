"""A handler that awaits a loop which does not run: which one it is, also where it swallows the error that it gets.

Neither asyncio nor trio is imported here: whoever awaits one has it loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from ..errors import LocalProtocolError

__all__ = ["WrongLoop", "leaves", "noticing", "wrong_loop"]

_LOOPS: Final = {"asyncio": "'asyncio'", "trio": "'trio'"}
_EITHER: Final = {"anyio", "sniffio"}
"""Libraries that run on both."""
_EXACTLY: Final = frozenset({RuntimeError, AttributeError, TypeError})
"""What asyncio and trio raise where they do not run. Of their own errors, as ``QueueEmpty``, none says so."""
_WAITING: Final = frozenset(
    f"asyncio.{name}" for name in "tasks locks queues mixins timeouts taskgroups threads streams subprocess".split()
)
"""Where asyncio asks for its loop because somebody waits. Others only ask whether there is one."""
_LOOKING: Final = frozenset({"current_task", "all_tasks"})
"""Functions there that anybody may call to see whether it runs."""


class WrongLoop(LocalProtocolError):
    """A handler, or a callback, awaits a loop that does not run: it says which ``backend=`` there has to be."""


def leaves(error: BaseException) -> list[BaseException]:
    """The errors in a group, however deep; or the error itself."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in leaves(part)]
    return [error]


def wrong_loop(error: BaseException, who: str, runs: str) -> WrongLoop | None:
    """What to say where the error is that of a loop other than the one that runs."""
    for leaf in leaves(error):
        needs = _raised_by(leaf)
        if needs is not None and needs != _LOOPS.get(runs):
            return says(who, needs, leaf)
    return None


def says(who: str, needs: str, why: object) -> WrongLoop:
    """What ``backend=`` is needed."""
    loop = needs.replace("'", "")
    return WrongLoop(f"{who}() awaits the {loop} loop itself ({why}): pass backend={needs}")


def _raised_by(error: BaseException) -> str | None:
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    module = _room(place.tb_frame) if place is not None else ""
    if module in _EITHER and isinstance(error, RuntimeError):
        return "'asyncio' or 'trio'"
    return _LOOPS.get(module) if type(error) in _EXACTLY else None


def _room(frame: Any) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


# ---- errors that nobody sees -----------------------------------------------------------------------------------------


@contextmanager
def noticing(runs: str, found: Callable[[str], object]) -> Iterator[None]:
    """While it lasts, ``found("'asyncio'")`` is called whenever somebody waits for a loop that does not run: a handler
    may swallow the error that it gets, and would go on as if it had waited.
    """
    replaced: list[tuple[Any, str, Any]] = []
    try:
        if runs != "asyncio" and "asyncio" in sys.modules:
            replaced += _listen_to_asyncio(found)
        if runs != "trio" and "trio" in sys.modules:
            replaced += _listen_to_trio(found)
        yield
    finally:
        for owner, name, before in reversed(replaced):
            if before is None:
                delattr(owner, name)
            else:
                setattr(owner, name, before)


def _listen_to_asyncio(found: Callable[[str], object]) -> list[tuple[Any, str, Any]]:
    """Replace the functions by which asyncio's own modules ask for the loop that runs."""

    def replacement(ask: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*args: Any, **kwargs: Any) -> Any:
            is_there = False
            try:
                answer = ask(*args, **kwargs)
                is_there = answer is not None
            finally:
                asks = sys._getframe(1)
                waits = asks.f_globals.get("__name__") in _WAITING and asks.f_code.co_name not in _LOOKING
                if waits and not is_there:
                    found(_LOOPS["asyncio"])
            return answer

        return asked

    replaced = []
    for module, name in (("events", "get_running_loop"), ("events", "_get_running_loop"), ("tasks", "current_task")):
        owner = sys.modules[f"asyncio.{module}"]
        before = getattr(owner, name)
        setattr(owner, name, replacement(before))
        replaced.append((owner, name, before))
    return replaced


def _listen_to_trio(found: Callable[[str], object]) -> list[tuple[Any, str, Any]]:
    """Be asked for what trio keeps of its run, where there is none."""
    context = getattr(sys.modules.get("trio._core._run_context"), "RunContext", None)
    if context is None:
        return []

    def missing(self: object, name: str) -> Any:
        asks = sys._getframe(1)
        function = asks.f_code.co_name
        only_looks = function.startswith("current_") and asks.f_back is not None and _room(asks.f_back) != "trio"
        if not function.startswith("in_trio_") and not only_looks:
            found(_LOOPS["trio"])
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    context.__getattr__ = missing
    return [(context, "__getattr__", None)]
