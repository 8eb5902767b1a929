"""How a conversation is held: all that can be chosen, with its ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from .tools import Tool

__all__ = ["BACKCHANNELS", "Conversation", "EndOfTurn", "Interruption", "Patience"]

BACKCHANNELS = ("mm-hm", "mhm", "mm", "mmm", "hm", "hmm", "uh-huh", "uhuh", "aha", "ah")
"""What says no more than "I am listening", in many languages."""


def _within(least: float, most: float) -> Callable[[object, attrs.Attribute[Any], float], None]:
    def check(instance: object, attribute: attrs.Attribute[Any], value: float) -> None:
        if not least <= value <= most:
            raise ValueError(f"{attribute.name} must be {least:g} to {most:g}, not {value!r}")

    return check


def _frozen(texts: Sequence[str]) -> tuple[str, ...]:
    if isinstance(texts, str):
        raise TypeError(f"a sequence of texts is wanted, not the text {texts!r}")
    return tuple(texts)


def _functions(functions: Iterable[Callable[..., object] | Tool]) -> tuple[Callable[..., object] | Tool, ...]:
    return tuple(functions)


@attrs.frozen(kw_only=True)
class EndOfTurn:
    """When somebody who has spoken is taken to have finished. Times in seconds, from their last sound on.

    Whatever says so first ends the turn: so much silence; less of it, where the recogniser has given a final
    transcript of all that was said; still less, where a detector of turns is sure. Where that says that more will
    come, only ``ceiling`` ends it.
    """

    silence: float = attrs.field(default=0.7, validator=_within(0.1, 10))
    final_silence: float = attrs.field(default=0.5, validator=_within(0.1, 10))
    """With a final transcript; no more than ``silence`` counts."""
    sure_silence: float = attrs.field(default=0.25, validator=_within(0.1, 10))
    """With a detector that is sure."""
    threshold: float = attrs.field(default=0.6, validator=_within(0, 1))
    """From which likelihood on, 0 to 1, a detector is sure."""
    ceiling: float = attrs.field(default=2.5, validator=_within(0.1, 30))
    """The longest silence, whatever a detector says."""
    longest: float = attrs.field(default=60.0, validator=_within(1, 600))
    """How long one turn may be; what is said beyond that is the next."""
    recognition_timeout: float = attrs.field(default=10.0, validator=_within(0.1, 120))
    """How long a recogniser may take, from the end of the turn on. What it has understood by then counts."""


@attrs.frozen(kw_only=True)
class Interruption:
    """What interrupts the agent, where it may be. Times in seconds."""

    min_speech: float = attrs.field(default=0.2, validator=_within(0.02, 5))
    """How long somebody has to speak for it: a click is shorter. Where the detector of activity does not say for how
    long it has been silent (:class:`~.providers.ActivityDetector`), what it takes for a pause counts as speech.
    """
    min_words: int = attrs.field(default=1, validator=_within(0, 20))
    """How many words they have to say. In scripts without spaces between words these are estimated: two letters of
    Chinese or Japanese are one, and so are four of Thai, Lao, Burmese or Khmer.
    """
    backchannels: Sequence[str] = attrs.field(default=BACKCHANNELS, converter=_frozen)
    """What is none, and no turn either, when it is said while the agent speaks; what ends after that has is an answer.
    Case and punctuation do not count.
    """
    resume: bool = True
    """Whether the agent goes on where it was when there were no such words. It falls silent at once in any case when
    somebody speaks; without this it has been interrupted then.
    """
    doubt: float = attrs.field(default=3.0, validator=_within(0.1, 30))
    """How long words are waited for. A recogniser that gives partial transcripts, and none of so much sound, says that
    it is a noise, over which the agent goes on; one that gives none has the whole turn to find words. Without
    ``resume``, who speaks for so long while an answer is being made has interrupted it.
    """
    dtmf: bool = True
    """Whether a key interrupts, too: what has begun to be heard, and no answer that is still being made."""


@attrs.frozen(kw_only=True)
class Patience:
    """What :meth:`~voxtra_core.session.CallSession.converse` does about silence. Times in seconds."""

    reprompt_after: float = attrs.field(default=8.0, validator=_within(0.5, 600))
    """How long the caller may be silent."""
    reprompts: Sequence[str] = attrs.field(default=("Are you still there?",), converter=_frozen)
    """What they are asked then, one after another; when there is no more, the conversation is over."""
    filler_after: float = attrs.field(default=3.0, validator=_within(0.1, 60))
    """How long nothing may be heard while an answer is being made: ahead of its first word, and between two."""
    fillers: Sequence[str] = attrs.field(default=("One moment, please.",), converter=_frozen)
    """What is said then, one after another, each time so much later; of each answer no more than there are of these. It
    does not become part of the history.
    """
    apology: str = "Sorry, something went wrong. Could you say that again?"
    """What is said when the model has failed; ``""`` to have the error raised."""
    failures: int = attrs.field(default=3, validator=_within(1, 100))
    """How many failures in a row end the conversation with the error."""


@attrs.frozen(kw_only=True)
class Conversation:
    """How the conversations of an application are held: ``VoxtraApp(conversation=…)``.

    Raises ``ValueError`` for what is out of its range.
    """

    instructions: str = ""
    """What the model is told ahead of each history, as a message of the role ``"system"``."""
    tools: Sequence[Callable[..., object] | Tool] = attrs.field(default=(), converter=_functions)
    """Typed functions that the model may call, ``async`` or not: see :mod:`voxtra_core.agent.tools`."""
    run_tools: bool = True
    """Whether they are run for you; or else the calls are in :attr:`.AgentResponseEvent.tool_calls`."""
    max_rounds: int = attrs.field(default=8, validator=_within(1, 100))
    """How often a model may go on after tools of one turn."""
    end_of_turn: EndOfTurn = attrs.field(factory=EndOfTurn)
    interruption: Interruption = attrs.field(factory=Interruption)
    patience: Patience = attrs.field(factory=Patience)
    model_timeout: float = attrs.field(default=30.0, validator=_within(0.1, 600))
    """Seconds that a model may say nothing."""
    tool_timeout: float = attrs.field(default=60.0, validator=_within(0.1, 3600))
    """Seconds that a tool may take."""
    voice_timeout: float = attrs.field(default=10.0, validator=_within(0.1, 120))
    """Seconds that a voice may say nothing of what it has to."""
