"""The loop of a conversation, for those who want it run: listen, answer, again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal

from ..agent.events import Said, UserTranscriptEvent
from ..agent.machine import NOT_CONFIGURED, Parts
from ..agent.options import Patience
from ..errors import AgentNotConfigured, ProviderFailed
from .waiting import Driver, outcome_of

if TYPE_CHECKING:
    from .agent import Talking
    from .call import CallSession

__all__ = ["ConverseEnd", "check_parts", "converse"]

ConverseEnd = Literal["silence", "until", "bridged"]
"""Why it has ended: nobody said anything; who was asked said so; the call was brought into a bridge with somebody."""


def check_parts(parts: Parts) -> None:
    """``AgentNotConfigured`` where one is missing that each turn takes, before somebody has said something in vain."""
    if not (parts.stt and parts.llm and parts.tts):
        raise AgentNotConfigured(NOT_CONFIGURED)


async def converse(
    call: CallSession,
    talk: Talking,
    driver: Driver,
    answer: Callable[[str], Awaitable[Said]],
    *,
    greeting: str | None,
    until: Callable[[UserTranscriptEvent, Said], bool | Awaitable[bool]] | None,
    patience: Patience,
) -> ConverseEnd:
    """As :meth:`.CallSession.converse` says, which begins and ends the loop; ``answer(text)`` has the model answer, and
    says it.
    """
    if greeting:
        await call.say(greeting)
    reprompts, failures, apologises = iter(patience.reprompts), 0, False
    turn: UserTranscriptEvent | None = None
    text: str | None = None  # what is to be answered; "" where that is in the history already
    while True:
        if (tools := talk.handed_over()) is not None:
            talk.begin_loop()
            await outcome_of(driver, tools)
            if call.machine.bridge is not None:
                if text:
                    call.agent.history.append({"role": "user", "content": text})
                talk.rest()
                return "bridged"
            continue  # the transfer has failed, or they are back
        try:
            if apologises:
                apologises = False
                await call.say(patience.apology, remember=False)
            elif text is None:
                turn = await call.listen(timeout=patience.reprompt_after)
                if turn is not None:
                    reprompts, text = iter(patience.reprompts), turn.text
                elif talk.handed_over() is None:
                    reprompt = next(reprompts, None)
                    if reprompt is None:
                        return "silence"
                    await call.say(reprompt)
            else:
                asked, text = text, ""
                said = await answer(asked)
                failures = 0
                if talk.handed_over() is not None and said.interrupted:
                    continue  # the model is to go on, should they come back
                text = None
                if until is not None and turn is not None:
                    is_enough = until(turn, said)
                    if await is_enough if isinstance(is_enough, Awaitable) else is_enough:
                        return "until"
        except ProviderFailed:
            if talk.handed_over() is not None:
                continue
            failures += 1
            if failures >= patience.failures or not patience.apology:
                raise
            apologises, text = True, None
