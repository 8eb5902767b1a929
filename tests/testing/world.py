"""A simulated Asterisk with one client, on a clock that only tests move."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import count
from typing import Any

from voxtra_core.ari import MalformedEvent, UnknownEvent, decode_event
from voxtra_core.testing import Callee, Caller, Person, SimEvent, SimReply, SimulatedAsterisk

__all__ = ["APP", "World"]

APP = "app"


class World:
    """The client has opened an event socket for :data:`APP`, and remembers all that it is told."""

    def __init__(self, *, connected: bool = True) -> None:
        ids = count(1)
        self.asterisk = SimulatedAsterisk(new_id=lambda: f"id{next(ids)}")
        self.events: list[dict[str, Any]] = []
        self.replies: dict[int, tuple[float, SimReply]] = {}
        self.said: list[str] = []
        """Types of events, and statuses, in the order in which they came."""
        self._requests = count(1)
        if connected:
            self.asterisk.connect_app(1, [APP], False, 0.0)

    @property
    def now(self) -> float:
        return self.asterisk.now

    def request(self, method: str, target: str, body: object = None) -> int:
        """Send a request; its number."""
        number = next(self._requests)
        encoded = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        self.asterisk.receive_request(number, method, target, encoded, self.now)
        self._collect()
        return number

    def ask(self, method: str, target: str, body: object = None) -> SimReply:
        """Send a request that is answered at once."""
        return self.replies[self.request(method, target, body)][1]

    def run(self, seconds: float) -> None:
        """Let time pass, from one deadline to the next."""
        end = self.now + seconds
        while (deadline := self.asterisk.next_deadline()) is not None and deadline <= end:
            assert deadline > self.now, "a deadline that spins"
            self.asterisk.handle_timeout(deadline)
            self._collect()
        self.asterisk.handle_timeout(end)
        self._collect()

    def call(self, caller: Caller | None = None, **more: Any) -> Person:
        """Somebody calls."""
        person = self.asterisk.call(caller or Caller("100"), APP, self.now, **more)
        self._collect()
        return person

    def reach(self, callee: Callee, endpoint: str = "PJSIP/bob", **parameters: str) -> Person:
        """Originate a call to somebody new."""
        self.asterisk.add_endpoint(endpoint, callee)
        reply = self.ask("POST", "/channels", {"endpoint": endpoint, "app": APP, **parameters})
        assert reply.status == 200, reply
        return self.asterisk.people[-1]

    def reach_somebody(self) -> None:
        """Channel ``one`` is up, and ``PJSIP/bob`` answers whoever calls."""
        self.reach(Callee().answers(), channelId="one")
        self.forget()
        self.replies.clear()

    def types(self, *left_out: str) -> list[str]:
        """Of all events so far."""
        return [event["type"] for event in self.events if event["type"] not in left_out]

    def last(self, kind: str) -> Mapping[str, Any]:
        """The last event of that type."""
        return next(event for event in reversed(self.events) if event["type"] == kind)

    def forget(self) -> None:
        """Start counting afresh."""
        self.events.clear()
        self.said.clear()

    def _collect(self) -> None:
        while (message := self.asterisk.next_message()) is not None:
            match message:
                case SimReply(request=number, status=status):
                    assert number not in self.replies, "answered twice"
                    self.replies[number] = (self.now, message)
                    self.said.append(str(status))
                case SimEvent(text=text):
                    assert not isinstance(decode_event(text), (MalformedEvent, UnknownEvent)), text
                    self.events.append(json.loads(text))
                    self.said.append(self.events[-1]["type"])


def body_of(reply: SimReply) -> Any:
    """The reply's JSON."""
    return json.loads(reply.body)
