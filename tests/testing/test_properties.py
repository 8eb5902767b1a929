"""Whatever people and clients do, in whatever order: no crash, no spinning, nothing left over, only valid events."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import reduce
from typing import Any, TypeAlias

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.testing.world import World
from voxtra_core.testing import Callee, Caller, Extension, Script
from voxtra_core.testing.callers import HangUp, Refuse

Adds: TypeAlias = Callable[[Any], Any]
"""A script with one more step."""

ANYBODY: list[Adds] = [
    lambda script: script.waits(0.0),
    lambda script: script.waits(0.44),
    lambda script: script.waits(7.0),
    lambda script: script.waits_for_prompt("beep"),
    lambda script: script.waits_for_prompt("nope", timeout=1.0),
    lambda script: script.waits_for_prompt("music:default", timeout=0.0),
    lambda script: script.waits_for_prompt("beep", until="started"),
    lambda script: script.waits_for_digits("1"),
    lambda script: script.waits_for_digits("", timeout=1.0),
    lambda script: script.presses("1#"),
    lambda script: script.presses("2", after=0.25),
    lambda script: script.talks(1.0),
    lambda script: script.holds(),
    lambda script: script.resumes(),
    lambda script: script.hangs_up(),
    lambda script: script.hangs_up(None),
]
CALLERS: list[Adds] = [
    lambda script: script.waits_for_answer(),
    lambda script: script.waits_for_answer(timeout=0.0),
]
CALLEES: list[Adds] = [
    lambda script: script.rings(),
    lambda script: script.rings(1.0),
    lambda script: script.progresses(),
    lambda script: script.answers(),
    lambda script: script.answers(),
    lambda script: script.is_busy(),
    lambda script: script.is_congested(),
    lambda script: script.rejects(),
    lambda script: script.rejects(0),
]


def scripts(start: Script, more: list[Adds]) -> st.SearchStrategy[Any]:
    """Up to five steps, in any order, sensible or not, as far as the one that ends the call."""

    def add(script: Any, adds: Adds) -> Any:
        is_over = script.steps and isinstance(script.steps[-1], HangUp | Refuse)
        return script if is_over else adds(script)

    return st.lists(st.sampled_from(ANYBODY + more), max_size=5).map(lambda steps: reduce(add, steps, start))


OPERATIONS = st.sampled_from(
    [
        ("POST", "/answer"),
        ("POST", "/play?media=sound:hello-world,sound:beep"),
        ("POST", "/play?media=sound:nope"),
        ("POST", "/play?media=bogus:x"),
        ("POST", "/play?media=tone:ring"),
        ("POST", "/dtmf?dtmf=12w3"),
        ("POST", "/moh"),
        ("DELETE", "/moh"),
        ("POST", "/ring"),
        ("POST", "/hold"),
        ("POST", "/mute?direction=out"),
        ("POST", "/silence"),
        ("POST", "/variable?variable=X&value=1"),
        ("POST", "/variable?variable=TALK_DETECT(set)&value=500,128"),
        ("POST", "/variable?variable=TALK_DETECT(set)&value=500,-1"),
        ("POST", "/variable?variable=TALK_DETECT(remove)&value="),
        ("POST", "/snoop?app=app&spy=both&whisper=out"),
        ("POST", "/snoop/mine?app=app&whisper=both"),
        ("POST", "/snoop?app=nobody&spy=in"),
        ("POST", "/continue?context=somewhere"),
        ("POST", "/continue?context=back"),
        ("POST", "/continue?context=nowhere"),
        ("POST", "/move?app=other"),
        ("POST", "/move?app=nobody"),
        ("DELETE", "?reason=busy"),
        ("GET", ""),
    ]
)


class AnythingGoes(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.world = World()
        self.requests = 0
        self.sockets = 2
        self.world.asterisk.add_extension("somewhere", "s", Extension("Wait", "3", lasts=3.0))
        self.world.asterisk.add_extension("back", "s", Extension(lasts=0.5, app="app"))
        self.world.asterisk.connect_app(2, ["other"], False, 0.0)

    @rule(caller=scripts(Caller("1"), CALLERS), answered=st.booleans())
    def somebody_calls(self, caller: Caller, answered: bool) -> None:
        self.world.call(caller, answered=answered)

    @rule(
        callee=scripts(Callee(), CALLEES),
        endpoint=st.sampled_from(["PJSIP/bob", "Local/bob@far/n"]),
        timeout=st.sampled_from([-1, 0, 1]),
        where=st.sampled_from([{"app": "app"}, {"app": "nobody"}, {"extension": "s", "context": "back"}]),
    )
    def we_call(self, callee: Callee, endpoint: str, timeout: int, where: dict[str, str]) -> None:
        self.world.asterisk.add_endpoint(endpoint, callee)
        self.ask("POST", "/channels", {"endpoint": endpoint, "timeout": timeout, **where})

    @rule(operation=OPERATIONS, which=st.integers(0, 5))
    def we_do_something(self, operation: tuple[str, str], which: int) -> None:
        channels = self.world.asterisk.channel_ids
        method, path = operation
        self.ask(method, f"/channels/{channels[which % len(channels)] if channels else 'nope'}{path}")

    @rule(
        operation=st.sampled_from(["stop", "pause", "unpause", "restart", "forward", "reverse"]),
        which=st.integers(0, 5),
    )
    def we_control_a_playback(self, operation: str, which: int) -> None:
        playbacks = [event["playback"]["id"] for event in self.world.events if "playback" in event][-3:]
        path = f"/playbacks/{playbacks[which % len(playbacks)] if playbacks else 'nope'}"
        if operation == "stop":
            self.ask("DELETE", path)
        else:
            self.ask("POST", f"{path}/control?operation={operation}")

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.3, 2.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.run(seconds)

    @rule(closes=st.booleans())
    def the_client_reconnects(self, closes: bool) -> None:
        if closes:
            self.world.asterisk.disconnect(self.sockets, self.world.now)
        self.sockets += 1
        self.world.asterisk.connect_app(self.sockets, ["app"], False, self.world.now)

    def ask(self, method: str, target: str, body: object = None) -> None:
        self.requests += 1
        self.world.request(method, target, body)

    @invariant()
    def no_deadline_has_passed(self) -> None:
        deadline = self.world.asterisk.next_deadline()
        assert deadline is None or deadline > self.world.now

    def check_people(self) -> None:
        """Who has left hears nothing, and nobody hears two things at once."""
        for person in self.world.asterisk.people:
            if person.ended_at is not None:
                assert all(heard.end is not None for heard in person.heard)
                assert all(tone.at <= person.ended_at for tone in person.tones)
                assert person.channel_id not in self.world.asterisk.channel_ids
            for heard, following in zip(person.heard, person.heard[1:], strict=False):
                assert heard.end is not None
                assert heard.start <= heard.end <= following.start

    def check_events(self) -> None:
        """A channel that is destroyed is not heard of again."""
        destroyed: set[str] = set()
        for event in self.world.events:
            channel = event.get("channel") or event.get("peer") or {}
            assert channel.get("id") not in destroyed
            if event["type"] == "ChannelDestroyed":
                destroyed.add(channel["id"])

    def teardown(self) -> None:
        """When everything is hung up nothing is left that could happen, and every request has been answered."""
        if not hasattr(self, "world"):
            return
        while channels := self.world.asterisk.channel_ids:
            self.ask("DELETE", f"/channels/{channels[0]}")
        assert self.world.asterisk.next_deadline() is None
        self.world.run(100.0)
        self.check_events()
        self.check_people()
        assert len(self.world.replies) == self.requests
        assert all(person.ended_at is not None for person in self.world.asterisk.people)
        ids = [event["playback"]["id"] for event in self.world.events if "playback" in event]
        assert all(self.world.ask("GET", f"/playbacks/{id}").status == 404 for id in set(ids))
        for reply in (reply for _, reply in self.world.replies.values()):
            assert reply.body == b"" or json.loads(reply.body) is not None


TestAnythingGoes = AnythingGoes.TestCase
TestAnythingGoes.settings = settings(max_examples=50, stateful_step_count=40)
