"""The loop of a conversation, for those who want it run: listen, answer, again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal

from ..agent.events import Said, UserTranscriptEvent
from ..agent.machine import NOT_CONFIGURED, Parts
from ..agent.options import Patience
from ..errors import AgentNotConfigured, ProviderFailed

if TYPE_CHECKING:
    from .call import CallSession

__all__ = ["ConverseEnd", "check_parts", "converse"]

ConverseEnd = Literal["silence", "until"]
"""Why it has ended: nobody said anything, or who was asked said so."""


def check_parts(parts: Parts) -> None:
    """``AgentNotConfigured`` where one is missing that each turn takes, before somebody has said something in vain."""
    if not (parts.stt and parts.llm and parts.tts):
        raise AgentNotConfigured(NOT_CONFIGURED)


async def converse(
    call: CallSession,
    answer: Callable[[str], Awaitable[Said]],
    *,
    greeting: str | None,
    until: Callable[[UserTranscriptEvent, Said], bool | Awaitable[bool]] | None,
    patience: Patience,
) -> ConverseEnd:
    """As :meth:`.CallSession.converse` says; ``answer(text)`` has the model answer, and says it."""
    if greeting:
        await call.say(greeting)
    reprompts, failures, apologises = iter(patience.reprompts), 0, False
    while True:
        try:
            if apologises:
                apologises = False
                await call.say(patience.apology, remember=False)
            turn = await call.listen(timeout=patience.reprompt_after)
            if turn is None:
                reprompt = next(reprompts, None)
                if reprompt is None:
                    return "silence"
                await call.say(reprompt)
                continue
            reprompts = iter(patience.reprompts)
            said = await answer(turn.text)
            failures = 0
        except ProviderFailed:
            failures += 1
            if failures >= patience.failures or not patience.apology:
                raise
            apologises = True
            continue
        if until is not None:
            is_enough = until(turn, said)
            if await is_enough if isinstance(is_enough, Awaitable) else is_enough:
                return "until"
