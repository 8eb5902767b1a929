"""The ways to Asterisk, and Asterisk's end of them, on a network that is as the bytes say."""

from __future__ import annotations

import json
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

from voxtra_core.ari.messages import (
    EventReceived,
    Link,
    LinkAccepted,
    LinkClosed,
    LinkMessage,
    LinkOpened,
    ListenFailed,
    Reply,
    RequestFailed,
)
from voxtra_core.ari.request import Request
from voxtra_core.errors import RequestNotSent
from voxtra_core.media.formats import format_of
from voxtra_core.wire import AriLink, AriListener, AriServer, RequestReceived, SocketClosed, SocketOpened
from voxtra_core.wire.audiosocket_port import AudioSocketPort

from .choices import Choices
from .frames import ACCEPT, OPENED, frame, message
from .held import bytes_held
from .parsers import accepted_key
from .wired import Wired

__all__ = ["ari_link", "ari_listener", "ari_server", "audiosocket_port"]

USER, PASSWORD = "tester", "s3cret-word"
AUTHORIZATION = b"Authorization: Basic " + b64encode(f"{USER}:{PASSWORD}".encode()) + b"\r\n"
STEPS = 150
SLACK = 200_000


class Followed:
    """A link whose messages are followed: each request has one answer, and the last word is ``LinkClosed``."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.asked: list[str] = []
        self.answers = Counter[str]()
        self.opened = self.closed = 0
        self._numbers = count(1)

    def look(self) -> None:
        """Take what it says."""
        while (said := self.link.next_message()) is not None:
            self._take(said)

    def _take(self, said: LinkMessage) -> None:
        late = isinstance(said, RequestFailed) and isinstance(said.error, RequestNotSent)
        assert late or not self.closed, f"{said} comes after the end"
        match said:
            case LinkOpened():
                self.opened += 1
                assert self.opened == 1
            case EventReceived(data):
                assert isinstance(data, str)
            case Reply(request_id, status, reason, body):
                self.answers[request_id] += 1
                assert 100 <= status <= 999
                assert status < 300 or PASSWORD not in f"{reason}{body!r}"
            case RequestFailed(request_id, error):
                self.answers[request_id] += 1
                assert PASSWORD not in str(error)
            case LinkClosed(closed):
                self.closed += 1
                assert PASSWORD not in str(closed)
        if isinstance(said, Reply | RequestFailed):
            assert said.request_id in self.asked
            assert self.answers[said.request_id] == 1, f"{said} is the second answer"

    def ask(self, choices: Choices, now: float) -> None:
        """Send a request."""
        number = f"r{next(self._numbers)}"
        size = choices.byte()
        body = {"x": "y" * (size * 300 if size > 250 else size)} if size > 128 else None
        response = "binary" if choices.below(16) == 1 else "void"
        request: Request[None] = Request("test", choices.of(["GET", "POST", "DELETE"]), "/x", (), body, response)
        self.asked.append(number)
        self.link.send_request(number, request, now)

    @property
    def unanswered(self) -> list[str]:
        """Those under way."""
        return [number for number in self.asked if not self.answers[number]]

    def withdraw(self, choices: Choices, now: float) -> None:
        """Somebody waits no more."""
        request_id = choices.of([*self.unanswered, "never"])
        if not self.link.withdraw_request(request_id, now):
            self.look()
            assert self.answers[request_id] == 1, "it has not left, and is not answered"
        if choices.below(4) == 3:
            self.link.probe(now)

    def assert_over(self) -> None:
        """It has said its last word, and everybody has been answered."""
        self.look()
        assert self.closed == 1
        assert self.unanswered == []


def response_text(choices: Choices, links: list[Followed]) -> bytes:
    """A response over the event socket, to something that was asked, or to nothing."""
    asked = [number for link in links for number in link.unanswered]
    members: dict[str, Any] = {
        "type": "RESTResponse",
        "request_id": choices.of([*asked, "1", "voxtra", 7]),
        "status_code": choices.of([200, 204, 404, 500, 99, "x"]),
        "reason_phrase": "OK",
    }
    if choices.flag():
        members["message_body"] = choices.text(60)
    return json.dumps(members).encode()


def event_text(choices: Choices) -> bytes:
    """An event, or something like it."""
    name = choices.of(["app", "other", "app:PJSIP/alice-00000001", "", choices.text(20)])
    kind = choices.of(["ApplicationRegistered", "StasisStart", "ApplicationReplaced", "Event"])
    return json.dumps({"type": kind, "application": name, "asterisk_id": choices.of(["me", "you"])}).encode()


def ari_link(data: bytes) -> None:
    """Whatever a server does to a link: it opens once at most, answers each request once, and ends once."""
    choices = Choices(data)
    numbers = count(1)
    link = AriLink(
        host="pbx",
        port=8088,
        user=USER,
        password=PASSWORD,
        app_name="app",
        new_conn=lambda: next(numbers),
        requests=choices.of(["http", "websocket"]),
        max_under_way=1 + choices.below(3),
        max_waiting=choices.below(4),
        reply_timeout=choices.of([None, 5.0]),
        max_unsent=choices.of([1024 * 1024, 300, 0]),
        max_message=500,
    )
    followed = Followed(link)
    wired = Wired(link, after=followed.look)
    link.open(wired.now)
    wired.perform()
    for _ in range(STEPS):
        if not choices:
            break
        _step_of_a_link(choices, wired, followed)
    link.close(wired.now)
    wired.perform()
    wired.wait(5.0)
    followed.assert_over()
    assert not wired.open
    assert not wired.connecting
    assert link.next_deadline() is None
    held = bytes_held(link)
    assert held <= SLACK + 2 * wired.fed, f"{held} bytes are kept"


def _step_of_a_link(choices: Choices, wired: Wired, followed: Followed) -> None:
    match choices.below(12):
        case 0 | 1 | 2 | 3 | 4 if wired.open:
            conn = choices.of(wired.open)
            for piece in choices.pieces(_from_server(choices, wired.sent.get(conn, b""), followed)):
                wired.feed(conn, piece)
        case 5 | 6:
            followed.ask(choices, wired.now)
            wired.perform()
        case 7:
            followed.withdraw(choices, wired.now)
            wired.perform()
        case 8:
            wired.wait(choices.of([0.0, 0.02, 1.0, 10.0, 60.0]))
        case 9 if choices.below(8) == 0:
            followed.link.close(wired.now)
            wired.perform()
        case _:
            wired.happen(choices)


def _from_server(choices: Choices, sent: bytes, followed: Followed) -> bytes:
    """What a server may answer to what was sent to it."""
    match choices.below(8):
        case 0 | 1:
            return OPENED.replace(ACCEPT, accepted_key(sent))
        case 2:
            return frame(response_text(choices, [followed]))
        case 3:
            return frame(event_text(choices))
        case 4:
            body = choices.take(80)
            status = choices.of([b"200 OK", b"204 No Content", b"404 Not Found", b"401 Unauthorized", b"100 Continue"])
            length = b"Content-Length: %d\r\n" % len(body)
            more = choices.of([b"", b"Connection: close\r\n", b"Transfer-Encoding: chunked\r\n"])
            return b"HTTP/1.1 " + status + b"\r\n" + length + more + b"\r\n" + body
        case 5:
            return frame(choices.take(), choices.below(16), fin=choices.flag())
        case 6:
            return b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 99\r\n\r\n" + AUTHORIZATION + sent[:80]
        case _:
            return choices.take()


def _from_asterisk(choices: Choices, links: list[Followed]) -> bytes:
    """What Asterisk may send to a place where it connects to us."""
    match choices.below(8):
        case 0 | 1:
            return upgrade(choices.of([b"/app", b"/?app=x", b"*", choices.take(20)]), choices)
        case 2:
            return frame(response_text(choices, links), masked=True)
        case 3 | 4:
            return frame(event_text(choices), masked=choices.below(16) != 1)
        case 5:
            return frame(choices.take(), choices.below(16), fin=choices.flag(), masked=True)
        case 6:
            return b"GET /ari/asterisk/info HTTP/1.1\r\nHost: us\r\n" + AUTHORIZATION + b"\r\n"
        case _:
            return choices.take()


def upgrade(target: bytes, choices: Choices) -> bytes:
    """A client's handshake, most often a good one."""
    authorization = AUTHORIZATION if choices.below(8) != 1 else b"Authorization: " + choices.take(20) + b"\r\n"
    protocol = b"Sec-WebSocket-Protocol: ari\r\n" if choices.below(8) != 1 else choices.take(20)
    return (
        b"GET " + target + b" HTTP/1.1\r\nHost: us\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        + authorization
        + protocol
        + b"\r\n"
    )


def ari_listener(data: bytes) -> None:
    """Whatever comes to where Asterisk connects to us: each link ends once, each request is answered once."""
    choices = Choices(data)
    listener = AriListener(
        host="::1",
        port=0,
        user=USER,
        password=PASSWORD,
        new_conn=lambda: 1,
        max_connections=1 + choices.below(4),
        max_under_way=1 + choices.below(3),
        max_waiting=choices.below(4),
        reply_timeout=choices.of([None, 5.0]),
        max_unsent=choices.of([1024 * 1024, 300, 0]),
        max_message=500,
    )
    links: list[Followed] = []

    def look() -> None:
        while (said := listener.next_message()) is not None:
            match said:
                case LinkAccepted(link, application):
                    assert application
                    links.append(Followed(link))
                case ListenFailed(reason):
                    assert reason
        talking = {id(link) for link in listener.links_with_messages()}
        for followed in links:
            if id(followed.link) in talking:
                followed.look()

    wired = Wired(listener, after=look)
    listener.start(wired.now)
    wired.perform()
    for _ in range(STEPS):
        if not choices:
            break
        match choices.below(12):
            case 0:
                wired.accept()
            case 1 | 2 | 3 | 4 | 5 if wired.open:
                conn = choices.of(wired.open)
                for piece in choices.pieces(_from_asterisk(choices, links)):
                    wired.feed(conn, piece)
            case 6 if links:
                choices.of(links).ask(choices, wired.now)
                wired.perform()
            case 7 if links:
                choices.of(links).withdraw(choices, wired.now)
                wired.perform()
            case 8:
                wired.wait(choices.of([0.0, 0.02, 1.0, 10.0, 60.0]))
            case 9 if choices.below(8) == 0:
                choices.of([listener.stop_listening, listener.close])(wired.now)
                wired.perform()
            case 10 if links and choices.below(8) == 0:
                choices.of(links).link.close(wired.now)
                wired.perform()
            case _:
                wired.happen(choices)
    listener.close(wired.now)
    wired.perform()
    wired.wait(5.0)
    assert listener.is_closed
    for link in links:
        link.assert_over()
    assert not wired.open
    assert listener.next_deadline() is None
    held = bytes_held(listener)
    assert held <= SLACK + 2 * wired.fed, f"{held} bytes are kept"


def ari_server(data: bytes) -> None:
    """Whatever a client does to the simulated Asterisk's server: sockets open before they close, and close once."""
    choices = Choices(data)
    server = AriServer(
        host="127.0.0.1",
        port=0,
        users={USER: PASSWORD},
        new_conn=lambda: 1,
        session_limit=1 + choices.below(4),
        max_unsent=choices.of([1024 * 1024, 300]),
    )
    requests: list[int] = []
    sockets: list[int] = []
    seen: set[int] = set()

    def look() -> None:
        while (said := server.next_message()) is not None:
            match said:
                case RequestReceived(request, method, target):
                    assert method
                    assert "api_key" not in target
                    assert request not in seen
                    seen.add(request)
                    requests.append(request)
                case SocketOpened(socket, apps):
                    assert apps
                    assert socket not in sockets
                    sockets.append(socket)
                case SocketClosed(socket):
                    sockets.remove(socket)
                case ListenFailed(reason):
                    assert reason

    wired = Wired(server, after=look)
    server.start(wired.now)
    wired.perform()
    for _ in range(STEPS):
        if not choices:
            break
        match choices.below(12):
            case 0:
                wired.accept()
            case 1 | 2 | 3 | 4 | 5 if wired.open:
                conn = choices.of(wired.open)
                for piece in choices.pieces(_from_client(choices)):
                    wired.feed(conn, piece)
            case 6 | 7 if requests:
                request = requests.pop(choices.below(len(requests)))
                body = choices.take(40)
                headers = [("Content-type", "application/json")] if choices.flag() else []
                server.reply(request, choices.of([200, 404, 500]), "Because", headers, body, now=wired.now)
                wired.perform()
            case 8 if sockets:
                server.send_text(choices.of(sockets), choices.text(300))
                wired.perform()
            case 9:
                wired.wait(choices.of([0.0, 1.0, 15.0, 60.0]))
            case 10 if choices.below(4) == 0:
                ends: list[Callable[[], None]] = [
                    server.drop_all,
                    lambda: server.close(wired.now),
                    lambda: server.close_socket(choices.of([*sockets, 0]), now=wired.now),
                ]
                choices.of(ends)()
                wired.perform()
            case _:
                wired.happen(choices)
    server.close(wired.now)
    wired.perform()
    wired.wait(5.0)
    assert server.is_closed
    assert sockets == []
    assert not wired.open
    assert server.next_deadline() is None


def _from_client(choices: Choices) -> bytes:
    match choices.below(8):
        case 0 | 1:
            target = choices.of(
                [b"/ari/events?app=app", b"/ari/events?app=a,b&subscribeAll=yes", b"/ari/events", b"/x"]
            )
            return upgrade(target, choices)
        case 2 | 3:
            target = choices.of(
                [b"/ari/channels", b"/ari/channels/x?api_key=tester:s3cret-word", b"/", choices.take(30)]
            )
            body = choices.take(30)
            method = choices.of([b"GET ", b"POST ", b"OPTIONS ", b"BREW "])
            length = b"Content-Length: %d\r\n" % len(body)
            return method + target + b" HTTP/1.1\r\nHost: us\r\n" + AUTHORIZATION + length + b"\r\n" + body
        case 4:
            members = {"type": "RESTRequest", "request_id": "x", "method": "GET", "uri": choices.text(30)}
            if choices.flag():
                members |= {"content_type": "application/json", "message_body": choices.text(30)}
            return frame(json.dumps(members).encode(), masked=True)
        case 5:
            return frame(choices.take(), choices.below(16), fin=choices.flag(), masked=True)
        case _:
            return choices.take()


# ---- media -----------------------------------------------------------------------------------------------------------


class Line:
    """A call's line, which may give its port up in the middle of anything."""

    def __init__(self, port: AudioSocketPort, line_id: str, rate: int) -> None:
        self.port = port
        self.line_id = line_id
        self.frame = bytes(format_of("slin", rate).frame_bytes)
        self.gives_up = False
        self.released = False
        self.speaks = False
        self.readies = self.starts = self.ends = 0

    def port_ready(self, address: str, now: float) -> None:
        assert address.rpartition(":")[2].isdecimal()
        assert not self.is_over
        self.readies += 1

    def started(self, now: float) -> None:
        assert not self.is_over
        self.starts += 1
        assert self.starts == 1
        self._think(now)

    def audio(self, data: bytes, now: float) -> None:
        self._assert_live()
        assert len(data) % 2 == 0
        self._think(now)

    def digit(self, digit: str, now: float) -> None:
        self._assert_live()
        assert len(digit) == 1
        self._think(now)

    def next_frame(self) -> bytes | None:
        self._assert_live()
        return self.frame if self.speaks else None

    def ended(self, reason: str, now: float) -> None:
        assert reason
        assert not self.is_over
        self.ends += 1

    @property
    def is_over(self) -> bool:
        return self.released or self.ends > 0

    def give_up(self, now: float) -> None:
        self.released = True
        self.port.release(self.line_id, now)

    def _assert_live(self) -> None:
        assert self.starts
        assert not self.is_over

    def _think(self, now: float) -> None:
        if self.gives_up and not self.is_over:
            self.give_up(now)


def audiosocket_port(data: bytes) -> None:
    """Whatever comes to the port of the audio: a line hears of one peer at most, and of its end once."""
    choices = Choices(data)
    numbers = count(1)
    port = AudioSocketPort(host="127.0.0.1", port=0, new_conn=lambda: next(numbers))
    lines: list[Line] = []
    wired = Wired(port)
    for _ in range(STEPS):
        if not choices:
            break
        match choices.below(12):
            case 0 | 1 if len(lines) < 10:
                rate = choices.of([8000, 16000, 48000])
                line = Line(port, f"00000000-0000-4000-8000-{len(lines):012x}", rate)
                lines.append(line)
                port.expect(line.line_id, line, format_of("slin", rate), wired.now)
                wired.perform()
            case 2:
                wired.accept(number=2_000_000 + next(numbers))
            case 3 | 4 | 5 | 6 if wired.open:
                conn = choices.of(wired.open)
                for piece in choices.pieces(_audio(choices)):
                    wired.feed(conn, piece)
            case 7 if lines:
                line = choices.of(lines)
                line.speaks, line.gives_up = choices.flag(), choices.flag()
            case 8 if lines:
                line = choices.of(lines)
                if not line.released:
                    line.give_up(wired.now)
                    wired.perform()
            case 9 | 10:
                wired.wait(choices.of([0.0, 0.02, 0.05, 1.0, 3.0]))
            case _:
                wired.happen(choices)
    for line in lines:
        if not line.released:
            line.give_up(wired.now)
    wired.perform()
    wired.wait(3.0)  # whoever has not said who they are is gone by then
    port.close(wired.now)
    wired.perform()
    assert not wired.open
    assert port.next_deadline() is None
    held = bytes_held(port)
    assert held <= SLACK, f"{held} bytes are kept"


def _audio(choices: Choices) -> bytes:
    match choices.below(8):
        case 0 | 1:
            return message(1, bytes.fromhex(f"00000000000040008000{choices.below(10):012x}"))
        case 2:
            return message(3, choices.of([b"1", b"#", b"A", b"x", b"12", b""]))
        case 3 | 4:
            return message(choices.of([0x10, 0x12, 0x16]), bytes(choices.byte()) * 2)
        case 5:
            return message(choices.of([0, 0xFF, 2, 0x11]), choices.take(20))
        case 6:
            return message(0x10, bytes(320)) * (1 + choices.below(100))
        case _:
            return choices.take()
