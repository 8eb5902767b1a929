"""The simulated Asterisk behind HTTP and WebSocket, with the real link as its client and a network in memory."""

from __future__ import annotations

import json
from itertools import count
from typing import Any, cast

import pytest

from tests.wire.memory import PORT, Network
from voxtra_core.ari import channels
from voxtra_core.ari.messages import EventReceived, Link, LinkClosed, LinkMessage, LinkOpened, Reply
from voxtra_core.ari.request import Request
from voxtra_core.effects import Accepted, Effect, Failed, Finish, Listen, Received, Send
from voxtra_core.errors import ConnectFailed
from voxtra_core.session import Driver
from voxtra_core.testing import Callee, Caller, SimulatedAsterisk, SimulatedLink
from voxtra_core.testing.serve import SimulatorServer
from voxtra_core.wire import AriLink, AriServer

APP = "app"
ALICE = Caller("100", "Alice").waits_for_answer().waits_for_prompt("beep").presses("1").hangs_up()


def new_server(*calls: Caller) -> SimulatorServer:
    ids = count()
    asterisk = SimulatedAsterisk(new_id=lambda: f"id{next(ids)}")
    asterisk.add_endpoint("PJSIP/bob", Callee().rings(1.0).answers())
    users = {"tester": "s3cret"}
    return SimulatorServer(asterisk, "127.0.0.1", PORT, users, calls=[(call, APP) for call in calls])


class Served:
    """A server as :class:`Network` expects one: it has nothing to say, and keeps to itself that it has finished."""

    def __init__(self, server: SimulatorServer) -> None:
        self.finished: list[Finish] = []
        self.receive = server.receive
        self.handle_timeout = server.handle_timeout
        self.next_deadline = server.next_deadline
        self._server = server

    def next_message(self) -> None:
        return None

    def effects_to_perform(self) -> list[Effect]:
        effects = self._server.effects_to_perform()
        self.finished += [effect for effect in effects if isinstance(effect, Finish)]
        return [effect for effect in effects if not isinstance(effect, Finish)]


def connect(server: SimulatorServer) -> tuple[Network, Served]:
    """A network between this server and a link that is open."""
    conns = count(1001)
    link = AriLink(
        host="127.0.0.1",
        port=PORT,
        user="tester",
        password="s3cret",
        app_name=APP,
        new_conn=lambda: next(conns),
    )
    served = Served(server)
    network = Network(link, cast(AriServer, served), count(2))
    server.start(0.0)
    network.run()
    link.open(0.0)
    network.carry_all()
    assert network.messages[0] == LinkOpened()
    return network, served


class Conversation:
    """An application of a few lines, over whatever link: answers and plays to who calls, and calls Bob."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.transcript: list[str] = []

    def hear(self, message: LinkMessage, now: float) -> None:
        match message:
            case EventReceived(data=data):
                event: dict[str, Any] = json.loads(data)
                self.transcript.append(event["type"])
                if event["type"] == "StasisStart" and event["channel"]["state"] == "Ring":
                    call = event["channel"]["id"]
                    self._send("answer", channels.answer(call), now)
                    self._send("play", channels.play(call, media="sound:beep"), now)
                elif event["type"] == "StasisEnd":
                    self._send("bob", channels.originate(endpoint="PJSIP/bob", app=APP), now)
            case Reply(request_id, status, reason, body):
                self.transcript.append(f"{request_id} {status} {reason} {sorted(json.loads(body)) if body else ''}")

    def _send(self, name: str, request: Request[Any], now: float) -> None:
        self._link.send_request(name, request, now)


def test_the_same_conversation_with_and_without_sockets() -> None:
    """Replies and events travel on different connections, so only the order within each is compared."""
    ids = count()
    asterisk = SimulatedAsterisk(new_id=lambda: f"id{next(ids)}")
    asterisk.add_endpoint("PJSIP/bob", Callee().rings(1.0).answers())
    asterisk.add_caller(ALICE, APP)
    simulated = SimulatedLink(asterisk, APP)
    direct = Conversation(simulated)
    now = 0.0
    simulated.open(now)
    while now < 5.0:
        while (message := simulated.next_message()) is not None:
            direct.hear(message, now)
        now = simulated.next_deadline() or 5.0
        simulated.handle_timeout(now)

    network, _ = connect(new_server(ALICE))
    over_sockets = Conversation(network.link)
    while network.now < 5.0:
        while network.messages:
            over_sockets.hear(network.messages.pop(0), network.now)
            network.carry_all()
        network.advance(0.25)
        network.carry_all()
    assert sorted(over_sockets.transcript) == sorted(direct.transcript)
    assert events_of(over_sockets) == events_of(direct)
    assert direct.transcript[-1] == "StasisStart"


def events_of(conversation: Conversation) -> list[str]:
    return [line for line in conversation.transcript if " " not in line]


def test_callers_dial_when_their_application_connects() -> None:
    server = new_server(Caller("100"))
    assert server.asterisk.people == []
    network, _ = connect(server)
    assert len(server.asterisk.people) == 1
    assert isinstance(network.messages[1], EventReceived)
    assert server.listening.result() == server.port == PORT


def test_closing_the_socket_makes_the_application_inactive() -> None:
    server = new_server(Caller("100"))
    network, _ = connect(server)
    assert server.asterisk.has_app(APP)
    network.link.close(network.now)
    network.carry_all()
    assert isinstance(network.messages[-1], LinkClosed)
    assert not server.asterisk.has_app(APP)
    assert len(server.asterisk.channel_ids) == 1


def request_bytes(target: str, body: bytes = b"", content_type: str = "") -> bytes:
    head = f"POST /ari{target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nContent-Type: {content_type}\r\n"
    return f"{head}Authorization: Basic dGVzdGVyOnMzY3JldA==\r\n\r\n".encode() + body


def exchange(server: SimulatorServer, data: bytes) -> str:
    """One request on a connection of its own, and what comes back."""
    conn = server.new_connection()
    server.receive(Accepted(1, conn), 0.0)
    server.receive(Received(conn, data), 0.0)
    return b"".join(effect.data for effect in server.effects_to_perform() if isinstance(effect, Send)).decode()


def test_a_form_counts_less_than_the_query() -> None:
    server = new_server()
    server.start(0.0)
    form = b"endpoint=PJSIP%2Fbob&app=app&channelId=from-form"
    answer = exchange(server, request_bytes("/channels?channelId=c+d", form, "application/x-www-form-urlencoded"))
    head, _, body = answer.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK\r\n")
    assert "content-type: application/json" in head.lower()
    assert json.loads(body)["id"] == "c d"


def test_an_odd_id_tears_no_header() -> None:
    server = new_server()
    server.start(0.0)
    server.asterisk.connect_app(1_000, [APP], False, 0.0)
    call = server.asterisk.call(Caller("1"), APP, 0.0).channel_id
    answer = exchange(server, request_bytes(f"/channels/{call}/play/a%0D%0Ab%C3%A9?media=sound:beep"))
    assert "location: /ari/playbacks/a%0d%0ab%c3%a9\r\n" in answer.lower()


def test_without_a_password_nothing_is_done() -> None:
    server = new_server()
    server.start(0.0)
    answer = exchange(server, b"POST /ari/channels?endpoint=PJSIP/bob&app=a HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith("HTTP/1.1 401 ")
    assert server.asterisk.channel_ids == []


class Woken:
    """A driver that only notes that it was woken."""

    def __init__(self) -> None:
        self.times = 0

    def wake(self) -> None:
        self.times += 1


def finishes(server: SimulatorServer) -> list[Finish]:
    return [effect for effect in server.effects_to_perform() if isinstance(effect, Finish)]


def test_stopping_wakes_the_driver_and_finishes() -> None:
    server = new_server()
    driver = Woken()
    server.attach(cast(Driver, driver))
    server.start(0.0)
    assert finishes(server) == []
    server.stop()
    assert driver.times == 1
    server.handle_timeout(1.0)
    assert finishes(server) == [Finish()]
    assert finishes(server) == []
    assert server.next_deadline() is None


@pytest.mark.parametrize("client_answers", [True, False])
def test_an_interruption_is_over_in_bounded_time(client_answers: bool) -> None:
    server = new_server(Caller("100"))
    network, served = connect(server)
    server.interrupt(network.now)
    if client_answers:
        network.carry_all()
    else:
        deadline = server.next_deadline()
        assert deadline is not None
        assert deadline <= network.now + 1.0
        server.handle_timeout(deadline)
        network.run()
    assert served.finished == [Finish()]
    assert server.next_deadline() is None


def test_a_port_that_is_taken_ends_the_run() -> None:
    server = new_server()
    server.start(0.0)
    [listen] = server.effects_to_perform()
    assert isinstance(listen, Listen)
    server.receive(Failed(listen.listener, "Address already in use"), 0.0)
    [finish] = finishes(server)
    assert isinstance(finish.error, ConnectFailed)
    with pytest.raises(ConnectFailed, match="Address already in use"):
        server.listening.result()
