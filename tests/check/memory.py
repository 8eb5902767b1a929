"""A server in memory for a check to talk to, on a clock that moves only when nothing else does."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping

import attrs

from voxtra_core.app.check import CheckMachine
from voxtra_core.app.versions import FEATURES
from voxtra_core.effects import (
    Accepted,
    Close,
    Connect,
    Connected,
    EndOfStream,
    Failed,
    Finish,
    Input,
    Listen,
    Listening,
    Received,
    Send,
)

__all__ = [
    "APPLICATION",
    "ASTERISK",
    "DEVICE",
    "INFO",
    "MODULES",
    "WRITE",
    "Server",
    "as_ari",
    "modules",
    "run",
    "whole",
]

Cut = Callable[[bytes], Iterable[bytes]]


def whole(data: bytes) -> Iterable[bytes]:
    """All in one piece."""
    return [data] if data else []


@attrs.frozen
class Server:
    """What happens when somebody connects."""

    answers: Mapping[str, bytes] = attrs.field(factory=dict)
    """What is said to a request that begins like this, first come first served; silence to others."""
    greeting: bytes = b""
    """What is said to whoever connects."""
    closes: bool = False
    """Whether a connection ends with the answer, or instead of it."""
    refusal: str | None = None
    """Why nobody can connect."""
    dead: bool = False
    """Nobody even hears that it is refused."""
    taken: str | None = None
    """Why nobody can listen."""
    breaks: bool = False
    """A connection is reset as soon as something is sent."""

    def answer(self, request: bytes) -> bytes:
        """What is said to a request."""
        head = request.decode("latin-1")
        return next((answer for beginning, answer in self.answers.items() if head.startswith(beginning)), b"")


def run(machine: CheckMachine, server: Server, cut: Cut = whole, now: float = 100.0) -> tuple[list[str], float]:
    """Run a check to its end. Returns the heads of its requests, and when it was over.

    It must not leave a connection open, nor finish twice, nor take notice of what is reported late.
    """
    requests: list[str] = []
    opened: set[int] = set()
    inputs: deque[Input] = deque()
    finished = 0
    machine.start(now)
    while True:
        for effect in machine.effects_to_perform():
            match effect:
                case Connect(conn, _, _):
                    opened.add(conn)
                    if server.refusal is not None:
                        inputs.append(Failed(conn, server.refusal))
                    elif not server.dead:
                        inputs.append(Connected(conn))
                        inputs.extend(Received(conn, piece) for piece in cut(server.greeting))
                case Listen(listener, _, port) if server.taken is None:
                    opened |= {listener, 1000}
                    inputs += [Accepted(listener, 1000), Listening(listener, port)]
                case Listen(listener):
                    inputs.append(Failed(listener, f"{server.taken}"))
                case Send(conn, data):
                    requests.append(data.decode("latin-1"))
                    inputs.extend(Received(conn, piece) for piece in cut(server.answer(data)))
                    if server.closes:
                        inputs.append(EndOfStream(conn))
                    if server.breaks:
                        inputs.append(Failed(conn, "connection reset by the peer"))
                case Close(conn):
                    opened.remove(conn)
                case Finish(error):
                    assert error is None
                    finished += 1
                case _:
                    raise AssertionError(f"a check has no use for {effect}")
        if finished:
            break
        deadline = machine.next_deadline()
        assert deadline is not None
        assert deadline > now
        if inputs:
            event = inputs.popleft()
            if isinstance(event, Failed):
                opened.discard(event.conn)  # reported late, it may be closed already
            machine.receive(event, now)
        else:
            machine.handle_timeout((now + deadline) / 2)  # too early: nothing happens
            assert machine.effects_to_perform() == []
            now = deadline
            machine.handle_timeout(now)
    assert opened == set()
    assert machine.next_deadline() is None
    found = len(machine.findings)
    for event in inputs:
        machine.receive(event, now)
    machine.handle_timeout(now + 100)
    machine.interrupt(now + 100)
    assert machine.effects_to_perform() == []
    assert len(machine.findings) == found > 0
    assert finished == 1
    return requests, now


def as_ari(status: str, body: str) -> bytes:
    """JSON as Asterisk 22.10 sends it."""
    return (
        f"HTTP/1.1 {status}\r\nServer: Asterisk\r\nCache-Control: no-cache, no-store\r\n"
        f"Content-type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def modules(*names: str, status: str = "Running") -> bytes:
    """The answer to ``GET /asterisk/modules`` with these loaded."""
    about = {"description": "", "use_count": 0, "status": status, "support_level": "core"}
    return as_ari("200 OK", json.dumps([{"name": f"{name}.so", **about} for name in names]))


INFO = "GET /ari/asterisk/info?"
WRITE = "POST /ari/channels/"
MODULES = "GET /ari/asterisk/modules "
APPLICATION = "GET /ari/applications/"
DEVICE = "GET /ari/deviceStates/"

ASTERISK: dict[str, bytes] = {
    INFO: as_ari("200 OK", '{"system":{"version":"22.10.1+dfsg","entity_id":"02:00"}}'),
    WRITE: as_ari("404 Not Found", '{"message":"Channel not found"}'),
    MODULES: modules(*{module for feature in FEATURES.values() for module in feature.modules}),
    APPLICATION: as_ari("404 Not Found", '{"message":"Application not found"}'),
    DEVICE: as_ari("200 OK", '{"name":"Local/100@in","state":"NOT_INUSE"}'),
}
"""The answers of an Asterisk with which all is well."""
