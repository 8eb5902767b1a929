"""A network in memory between one link and one server, on a clock that only tests move.

Nothing moves by itself: whoever drives it delivers bytes, ends and failures, in whatever pieces and order it likes,
within what TCP allows.
"""

from __future__ import annotations

from itertools import count
from typing import Any, Literal

import attrs

from voxtra_core.ari.messages import Link, LinkMessage, LinkOpened
from voxtra_core.effects import (
    TLS,
    Accepted,
    Close,
    Connect,
    Connected,
    Drained,
    Effect,
    EndOfStream,
    Failed,
    Input,
    Listen,
    Listening,
    Received,
    Send,
)
from voxtra_core.wire import AriLink, AriServer, RequestReceived, ServerMessage

PORT = 8088


@attrs.define(eq=False)
class Way:
    """One direction of a connection: the bytes under way, and whether an end follows them."""

    data: bytearray = attrs.field(factory=bytearray)
    ended: bool = False


@attrs.define(eq=False)
class Cable:
    """One connection. A number of ``None`` means that this side is not connected (any more)."""

    client: int | None
    server: int | None = None
    up: Way = attrs.field(factory=Way)
    down: Way = attrs.field(factory=Way)


class Network:
    """Performs what the link and the server ask for, as far as that takes no time."""

    def __init__(self, link: Link, server: AriServer, server_conns: count[int]) -> None:
        self.link = link
        self.server = server
        self.now = 0.0
        self.connecting: list[Cable] = []
        self.cables: list[Cable] = []
        self.gone: list[int] = []
        """The link's connections that have ended."""
        self.connects = 0
        self.messages: list[LinkMessage] = []
        self.server_messages: list[ServerMessage] = []
        self.link_effects: list[Effect] = []
        self.answers_pings = True
        """Whether the question with which a link over the event socket begins is answered, at once and unrecorded."""
        self._server_conns = server_conns

    def run(self) -> None:
        """Perform all effects and take all messages."""
        while effects := self.link.effects_to_perform():
            for effect in effects:
                self.link_effects.append(effect)
                self._perform_for_link(effect)
        while effects := self.server.effects_to_perform():
            for effect in effects:
                self._perform_for_server(effect)
        while (message := self.link.next_message()) is not None:
            self.messages.append(message)
        while (said := self.server.next_message()) is not None:
            if isinstance(said, RequestReceived) and said.target == "/asterisk/ping" and self.answers_pings:
                self.server.reply(said.request, 200, "OK", (), b"{}", now=self.now)
                self.run()
            else:
                self.server_messages.append(said)

    def accept(self, cable: Cable) -> None:
        assert cable.client is not None
        self.connecting.remove(cable)
        self.cables.append(cable)
        cable.server = next(self._server_conns)
        self.to_server(Accepted(1, cable.server))
        self.to_link(Connected(cable.client))

    def refuse(self, cable: Cable) -> None:
        assert cable.client is not None
        self.connecting.remove(cable)
        self.gone.append(cable.client)
        self.to_link(Failed(cable.client, "Connection refused"))

    def carry_up(self, cable: Cable, size: int | None = None) -> None:
        """Let the server read: so many bytes, or all, or the end once there are none."""
        if cable.server is None:
            cable.up.data.clear()
        elif cable.up.data:
            self.to_server(Received(cable.server, _taken(cable.up.data, size)))
            if not cable.up.data and cable.client is not None:
                self.to_link(Drained(cable.client))
        elif cable.up.ended:
            cable.up.ended = False
            self.to_server(EndOfStream(cable.server))

    def carry_down(self, cable: Cable, size: int | None = None) -> None:
        """Let the link read: so many bytes, or all, or the end once there are none."""
        if cable.client is None:
            cable.down.data.clear()
        elif cable.down.data:
            self.to_link(Received(cable.client, _taken(cable.down.data, size)))
            if not cable.down.data and cable.server is not None:
                self.to_server(Drained(cable.server))
        elif cable.down.ended:
            cable.down.ended = False
            self.to_link(EndOfStream(cable.client))

    def cut(self, cable: Cable, *, gently: bool) -> None:
        """The server's side ends and all that was under way to it is lost; the link sees an end or a failure."""
        if cable.server is not None:
            server, cable.server = cable.server, None
            self.to_server(Failed(server, "Connection reset"))
        cable.up.data.clear()
        if gently:
            cable.down.ended = True
        elif cable.client is not None:
            client, cable.client = cable.client, None
            self.gone.append(client)
            self.to_link(Failed(client, "Connection reset"))

    def carry_all(self) -> None:
        """Accept and deliver everything until nothing moves."""
        self.run()
        while self.connecting or self.moving():
            for cable in list(self.connecting):
                self.accept(cable)
            for cable in list(self.cables):
                self.carry_up(cable)
                self.carry_down(cable)

    def moving(self) -> list[Cable]:
        """Those with something under way to somebody."""
        return [
            cable
            for cable in self.cables
            if (cable.server is not None and (cable.up.data or cable.up.ended))
            or (cable.client is not None and (cable.down.data or cable.down.ended))
        ]

    def advance(self, seconds: float) -> None:
        """Let time pass, and both have their deadlines when they come."""
        end = self.now + seconds
        while True:
            deadlines = [self.link.next_deadline(), self.server.next_deadline()]
            self.now = min([end, *(deadline for deadline in deadlines if deadline is not None)])
            for machine in (self.link, self.server):
                machine.handle_timeout(self.now)
                deadline = machine.next_deadline()
                assert deadline is None or deadline > self.now
            self.run()
            if self.now == end:
                return

    def to_link(self, event: Input) -> None:
        self.link.receive(event, self.now)
        self.run()

    def to_server(self, event: Input) -> None:
        self.server.receive(event, self.now)
        self.run()

    def _perform_for_link(self, effect: Effect) -> None:
        match effect:
            case Connect(conn, _, port):
                assert port == PORT
                self.connects += 1
                self.connecting.append(Cable(conn))
            case Send(conn, data):
                self._cable_of_client(conn).up.data += data
            case Close(conn):
                cable = self._cable_of_client(conn)
                cable.client = None
                cable.up.ended = True
                self.gone.append(conn)
                if cable in self.connecting:
                    self.connecting.remove(cable)
            case _:
                raise AssertionError(f"a link has no use for {effect}")

    def _perform_for_server(self, effect: Effect) -> None:
        match effect:
            case Listen(listener, _, port):
                self.to_server(Listening(listener, port or PORT))
            case Send(conn, data):
                self._cable_of_server(conn).down.data += data
            case Close(1):
                pass
            case Close(conn):
                cable = self._cable_of_server(conn)
                cable.server = None
                cable.down.ended = True
            case _:
                raise AssertionError(f"a server has no use for {effect}")

    def _cable_of_client(self, conn: int) -> Cable:
        return next(cable for cable in [*self.cables, *self.connecting] if cable.client == conn)

    def _cable_of_server(self, conn: int) -> Cable:
        return next(cable for cable in self.cables if cable.server == conn)


def _taken(data: bytearray, size: int | None) -> bytes:
    taken = bytes(data[:size])
    del data[:size]
    return taken


def new_network(
    *,
    user: str = "tester",
    password: str = "s3cret",
    accepted: str = "s3cret",
    app_name: str = "app",
    path_prefix: str = "",
    tls: TLS | None = None,
    requests: Literal["http", "websocket"] = "http",
    max_under_way: int = 16,
    max_waiting: int = 1000,
    reply_timeout: float | None = None,
    max_unsent: int = 1024 * 1024,
    max_message: int = 16 * 1024 * 1024,
) -> Network:
    """A server with one user that listens, and a link that was not opened yet."""
    link_conns, server_conns = count(1001), count(1)
    server = AriServer(host="127.0.0.1", port=PORT, users={"tester": accepted}, new_conn=lambda: next(server_conns))
    link = AriLink(
        host="127.0.0.1",
        port=PORT,
        tls=tls,
        path_prefix=path_prefix,
        user=user,
        password=password,
        app_name=app_name,
        new_conn=lambda: next(link_conns),
        requests=requests,
        max_under_way=max_under_way,
        max_waiting=max_waiting,
        reply_timeout=reply_timeout,
        max_unsent=max_unsent,
        max_message=max_message,
    )
    network = Network(link, server, server_conns)
    server.start(0.0)
    network.run()
    return network


def open_network(**options: Any) -> Network:
    """The same, with the link open."""
    network = new_network(**options)
    network.link.open(0.0)
    network.carry_all()
    assert network.messages == [LinkOpened()]
    network.messages.clear()
    return network
