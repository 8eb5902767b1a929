"""Strategies: who calls, who is called, and what goes wrong."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from hypothesis import strategies as st

from ..callers import (
    Agent,
    Caller,
    HangUp,
    Hold,
    Press,
    Step,
    Talk,
    Wait,
    WaitForDigits,
    WaitForPrompt,
    WaitForSpeech,
    media_uri,
)
from ..faults import (
    ChannelGone,
    Fault,
    Faults,
    LateEvent,
    LateReply,
    LateRequest,
    LostReply,
    MediaGarbage,
    MediaLost,
    MediaStalled,
    NoReply,
    Outage,
    RefusedRequest,
    RepeatedEvent,
    RepeatedReply,
    Restart,
    StrayEvent,
)
from .scenario import CallScenario

__all__ = ["KEYS", "PAUSES", "bad_moods", "call_scenarios", "callers", "callers_like", "faults", "moods"]

PAUSES = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 31.0)
"""Seconds, from the simplest on."""
KEYS = "1234567890*#"
_pauses = st.sampled_from(PAUSES)
_DELAYS = st.sampled_from([0.05, 0.2, 0.5, 2.0])
_NTH = st.integers(1, 12)
_SOON = 10.0
"""Seconds in which half of the faults happen that have a time: most of what can go wrong goes wrong early."""
_STRAYS = ["{", "", "null", '{"type": "SomethingNew"}', '{"type": "StasisEnd", "channel": {"id": "nobody"}}']


def callers(
    *,
    prompts: Sequence[str] = (),
    keys: str = KEYS,
    dials: Sequence[str] = ("s",),
    talks: bool = True,
    holds: bool = True,
    tones: Sequence[str] = (),
    says: Sequence[str] = (),
    numbers: Sequence[str] = ("5550100", ""),
    max_steps: int = 6,
) -> st.SearchStrategy[Caller]:
    """People who call, do up to ``max_steps`` things, and then stay on the line or hang up.

    ``prompts`` are those that they may wait for, to the end or to interrupt them; ``tones`` the digits that they may
    wait for; ``keys`` those that they press; ``says`` texts that they may say, where they may also wait until somebody
    has spoken to them. They may talk (``talks``), and put the other side on hold and take it back (``holds``).
    ``numbers`` are what they call from, by default one, and none for who withholds it; ``dials`` what they dial.
    """
    lines = [Caller(number, dials=dialled) for number in numbers for dialled in dials]
    return callers_like(
        lines, prompts=prompts, keys=keys, talks=talks, holds=holds, tones=tones, says=says, max_steps=max_steps
    )


def callers_like(
    lines: Sequence[Caller],
    *,
    prompts: Sequence[str],
    tones: Sequence[str],
    keys: str = KEYS,
    talks: bool = True,
    holds: bool = True,
    says: Sequence[str] = (),
    max_steps: int = 6,
) -> st.SearchStrategy[Caller]:
    """As :func:`callers`; each is one of these callers, who goes on to do something."""
    steps: list[st.SearchStrategy[Step]] = [st.builds(Wait, st.sampled_from(PAUSES[1:]))]
    if keys:
        digits, between = st.text(keys, min_size=1, max_size=4), st.sampled_from([0.25, 0.05])
        steps.append(st.builds(Press, digits, _pauses, between, st.just(0.1)))
    if talks:
        steps.append(st.builds(Talk, st.sampled_from([1.0, 0.3, 4.0])))
    if prompts:
        uris = st.sampled_from([media_uri(prompt) for prompt in prompts])
        steps.append(st.builds(WaitForPrompt, uris, st.booleans(), st.none()))
    if tones:
        steps.append(st.builds(WaitForDigits, st.sampled_from(list(tones)), st.none()))
    if says:
        spoken = [Caller().says(text, waits=waits).steps[0] for text in says for waits in (True, False)]
        steps += [st.sampled_from(spoken), st.just(WaitForSpeech("", None))]
    things: list[st.SearchStrategy[tuple[Step, ...]]] = [st.tuples(step) for step in steps]
    if holds:
        things.append(st.builds(lambda seconds: (Hold(True), Wait(seconds), Hold(False)), st.sampled_from(PAUSES[1:])))
    return st.builds(
        lambda line, done, end: line.then(*(step for thing in done for step in thing), *end),
        st.sampled_from(list(lines)),
        st.lists(st.one_of(things), max_size=max_steps),
        st.sampled_from([(), (HangUp(16),), (HangUp(16),), (HangUp(None),)]),
    )


def bad_moods(agent: Agent) -> list[Agent]:
    """The same one: busy, without an answer, refusing, and gone soon after the answer."""
    silent = attrs.evolve(agent, steps=())
    return [silent.is_busy(), silent.rings(), silent.rejects(), silent.rings(1.0).answers().waits(0.5).hangs_up()]


def moods(agents: Sequence[Agent]) -> st.SearchStrategy[tuple[Agent, ...]]:
    """These agents; but half of the time each is busy, does not answer, refuses, or hangs up soon after the answer."""
    return st.tuples(*(st.just(agent) | st.sampled_from(bad_moods(agent)) for agent in agents))


def _instants(within: float) -> st.SearchStrategy[float]:
    """Quarters of a second."""
    quarters, soon = max(1, int(within * 4)), int(_SOON * 4)
    early = st.integers(1, min(quarters, soon))
    return (early if quarters <= soon else early | st.integers(soon, quarters)).map(lambda n: n / 4)


def faults(
    *, max_faults: int = 3, media: bool = True, restarts: bool = True, within: float = 10.0
) -> st.SearchStrategy[Faults]:
    """Up to ``max_faults`` things that go wrong: replies that are late, lost, repeated or never come; events that
    overtake replies, or come late; requests that are refused; a connection that breaks; an Asterisk that restarts
    (``restarts``); audio that stops, breaks or is noise (``media``); and what Asterisk would never say.

    What has a time happens in the first ``within`` seconds, half of it in the first ten.
    """
    instants = _instants(within)
    kinds: list[st.SearchStrategy[Fault]] = [
        st.builds(LateReply, _NTH, _DELAYS),
        st.builds(LateEvent, _NTH, _DELAYS),
        st.builds(LateRequest, _NTH, _DELAYS),
        st.builds(LostReply, _NTH),
        st.builds(NoReply, _NTH),
        st.builds(RepeatedReply, _NTH),
        st.builds(RepeatedEvent, _NTH),
        st.builds(RefusedRequest, _NTH, st.sampled_from([500, 409, 503])),
        st.builds(ChannelGone, _NTH),
        st.builds(StrayEvent, instants, st.sampled_from(_STRAYS)),
    ]
    # The most frequent one in life, too. Each is built for itself, as one_of() takes one that it knows already once.
    kinds += [st.builds(Outage, instants, st.sampled_from([1.0, 4.0, 10.0])) for _ in range(4)]
    if restarts:
        kinds.append(st.builds(Restart, instants, st.sampled_from([1.0, 3.0])))
    if media:
        kinds += [
            st.builds(MediaLost, instants),
            st.builds(MediaStalled, instants, st.sampled_from([0.5, 2.0])),
            st.builds(MediaGarbage, instants),
        ]
    return st.lists(st.one_of(kinds), max_size=max_faults).map(lambda chosen: Faults(*chosen))


def call_scenarios(
    people: st.SearchStrategy[Caller] | None = None,
    misfortunes: st.SearchStrategy[Faults] | None = None,
    agents: st.SearchStrategy[tuple[Agent, ...]] | None = None,
) -> st.SearchStrategy[CallScenario]:
    """A caller and what goes wrong: half of the time nothing does. ``agents`` are those who can be called, as in
    :func:`moods`; without them they are as ``check_call_flow`` was given them.
    """
    wrong = misfortunes if misfortunes is not None else faults()
    return st.builds(
        CallScenario,
        people if people is not None else callers(),
        st.one_of(st.just(Faults()), wrong),
        agents if agents is not None else st.just(()),
    )
