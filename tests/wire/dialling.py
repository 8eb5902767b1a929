"""Asterisk's end of the sockets that it opens to us, and a listener for it to call, on a clock that only tests move."""

from __future__ import annotations

import json
from base64 import b64encode
from itertools import count
from typing import Any

import attrs

from voxtra_core.ari.messages import LinkAccepted, LinkMessage, ListenerMessage
from voxtra_core.effects import (
    Accepted,
    Close,
    Drained,
    Effect,
    EndOfStream,
    Input,
    Listen,
    Listening,
    Log,
    Received,
    Send,
)
from voxtra_core.wire import (
    AcceptedLink,
    AriListener,
    TextReceived,
    WebSocketClient,
    WebSocketClosed,
    WebSocketEvent,
)

LISTENER = 1000


def event(application: str, kind: str = "Event", **members: Any) -> str:
    """An event as Asterisk writes it, as far as it matters here."""
    return json.dumps({"type": kind} | members | {"application": application, "asterisk_id": "me"})


def registered(application: str) -> str:
    return event(application, "ApplicationRegistered")


class Room:
    """A listener, and what has come of it."""

    def __init__(self, **options: Any) -> None:
        arguments: dict[str, Any] = {"host": "::1", "port": 0, "user": "obuser", "password": "obpass"}
        self.listener = AriListener(**(arguments | {"new_conn": lambda: LISTENER} | options))
        self.now = 0.0
        self.sent: dict[int, bytes] = {}
        self.closed: list[int] = []
        self.logged: list[Log] = []
        self.messages: list[ListenerMessage] = []
        self.links: list[AcceptedLink] = []
        self.said: dict[AcceptedLink, list[LinkMessage]] = {}
        self._conns = count(1)
        self.listener.start(self.now)
        assert self.run() == [Listen(LISTENER, "::1", 0, options.get("tls"))]
        self.input(Listening(LISTENER, 28190))

    @property
    def logs(self) -> list[str]:
        return [log.message for log in self.logged]

    def run(self) -> list[Effect]:
        effects = self.listener.effects_to_perform()
        for effect in effects:
            match effect:
                case Send(conn, data):
                    assert conn not in self.closed
                    self.sent[conn] = self.sent.get(conn, b"") + data
                case Close(conn):
                    assert conn not in self.closed
                    self.closed.append(conn)
                case Log():
                    self.logged.append(effect)
                case _:
                    assert isinstance(effect, Listen)
        while (message := self.listener.next_message()) is not None:
            self.messages.append(message)
            if isinstance(message, LinkAccepted):
                assert isinstance(message.link, AcceptedLink)
                self.links.append(message.link)
                self.said[message.link] = []
        for link, said in self.said.items():
            assert link.effects_to_perform() == []
            while (told := link.next_message()) is not None:
                said.append(told)
        return effects

    def input(self, event: Input) -> None:
        self.listener.receive(event, self.now)
        self.run()

    def wait(self, seconds: float) -> None:
        """Let time pass, and the listener have its deadlines when they come."""
        end = self.now + seconds
        while True:
            deadline = self.listener.next_deadline()
            self.now = end if deadline is None else min(end, deadline)
            self.listener.handle_timeout(self.now)
            deadline = self.listener.next_deadline()
            assert deadline is None or deadline > self.now
            self.run()
            if self.now == end:
                return

    def connect(self) -> int:
        conn = next(self._conns)
        self.input(Accepted(LISTENER, conn))
        return conn

    def link(self) -> AcceptedLink:
        """The newest."""
        return self.links[-1]

    def told(self, link: AcceptedLink | None = None) -> list[LinkMessage]:
        """What a link has said since this was asked last; the newest, if none is given."""
        self.run()
        said = self.said[link or self.link()]
        told = said.copy()
        said.clear()
        return told


@attrs.define(eq=False)
class Asterisk:
    """One socket that Asterisk has opened. Bytes go both ways whenever something is done here, or :meth:`look`."""

    room: Room
    path: str = "/persistent"
    credentials: str = "obuser:obpass"
    subprotocols: tuple[str, ...] = ("ari",)
    conn: int = attrs.field(init=False)
    websocket: WebSocketClient = attrs.field(init=False)
    heard: list[WebSocketEvent] = attrs.field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self.websocket = WebSocketClient(
            "127.0.0.1:28190",
            self.path,
            [("Authorization", "Basic " + b64encode(self.credentials.encode()).decode())],
            self.subprotocols,
        )
        self.conn = self.room.connect()
        self.look()

    def look(self) -> None:
        """Exchange what there is to be sent."""
        while True:
            self.room.run()
            up, down = self.websocket.data_to_send(), self.room.sent.pop(self.conn, b"")
            if not up and not down:
                break
            if down:
                self.websocket.receive_data(down)
                self.room.input(Drained(self.conn))
            if up and self.conn not in self.room.closed:
                self.room.input(Received(self.conn, up))
        if self.conn in self.room.closed and not self.websocket.is_closed:
            self.websocket.receive_eof()
        while (event := self.websocket.next_event()) is not None:
            self.heard.append(event)

    def say(self, *texts: str) -> None:
        for text in texts:
            self.websocket.send_text(text)
        self.look()

    def requests(self) -> list[dict[str, Any]]:
        """What has been asked of it so far."""
        self.look()
        return [json.loads(event.text) for event in self.heard if isinstance(event, TextReceived)]

    def respond(self, request: dict[str, Any], status: int = 200, **members: Any) -> None:
        envelope = {"type": "RESTResponse", "application": "whichever came first", "request_id": request["request_id"]}
        self.say(json.dumps(envelope | {"status_code": status, "reason_phrase": "OK"} | members))

    def ping(self, payload: bytes) -> None:
        self.websocket.ping(payload)
        self.look()

    def close(self, code: int = 1000) -> None:
        """A closing handshake, and the end of the stream."""
        self.websocket.close(code)
        self.look()

    def hang_up(self) -> None:
        """The end of the stream, without a word."""
        self.room.input(EndOfStream(self.conn))

    def closed_with(self) -> int | None:
        """The code with which we have closed."""
        self.look()
        return next((event.code for event in self.heard if isinstance(event, WebSocketClosed)), None)


def persistent(room: Room, *applications: str) -> Asterisk:
    """A socket that has registered these."""
    asterisk = Asterisk(room)
    asterisk.say(*map(registered, applications))
    return asterisk
