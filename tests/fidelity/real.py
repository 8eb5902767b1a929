"""A stage whose Asterisk is a real one: blocking sockets, and a thread for each."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import queue
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

from anyio.from_thread import BlockingPortal, start_blocking_portal
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Ping, RejectConnection, Request, TextMessage

from tests.asterisk.pbx import Asterisk
from tests.asterisk.sip import sip_phone
from tests.fidelity.stage import PATIENCE, SIP_PAUSE, Door, Entry, Far, NeverCame, Phone, Scenario, Stage, content_of

__all__ = ["RealStage", "play_real"]


def play_real(scenario: Scenario, asterisk: Asterisk, app: str) -> RealStage:
    """Play it, and let half a second go by; nothing is left in Asterisk afterwards."""
    with contextlib.ExitStack() as stack:
        stage = RealStage(asterisk, app, stack)
        stack.callback(stage.clean_up)
        scenario.play(stage)
        stage.sleep(0.5)
    return stage


class RealStage(Stage):
    def __init__(self, asterisk: Asterisk, app: str, stack: contextlib.ExitStack) -> None:
        super().__init__(app)
        self.asterisk = asterisk
        self.stack = stack
        self._began = time.monotonic()
        self.arrivals: queue.Queue[Entry] = queue.Queue()
        self._sockets: list[tuple[str, socket.socket]] = []
        self._phones = f"{app}far"  # whose events are the far end's own business
        self._has_phones = False
        self._portal: BlockingPortal | None = None
        self.open(app)

    @property
    def now(self) -> float:
        return time.monotonic() - self._began

    @property
    def calendar(self) -> float:
        return time.time() % 1

    def portal(self) -> BlockingPortal:
        if self._portal is None:
            self._portal = self.stack.enter_context(start_blocking_portal())
        return self._portal

    def arrived(self, kind: str, **fields: Any) -> None:
        """Something has, in whatever thread."""
        self.arrivals.put(Entry(self.now, kind, fields))

    def open(self, app: str, *, subscribe_all: bool = False) -> None:
        sock = socket.create_connection((self.asterisk.host, self.asterisk.port))
        self.stack.callback(sock.close)
        self._sockets.append((app, sock))
        key = f"{self.asterisk.user}:{self.asterisk.password}"
        query = {"api_key": key, "app": app} | ({"subscribeAll": "true"} if subscribe_all else {})
        connection = WSConnection(ConnectionType.CLIENT)
        target = f"/ari/events?{urlencode(query)}"
        sock.sendall(connection.send(Request(host=f"{self.asterisk.host}:{self.asterisk.port}", target=target)))
        opened = threading.Event()
        reader = threading.Thread(target=self._read, args=(app, sock, connection, opened))
        reader.start()
        self.stack.callback(reader.join)
        self.stack.callback(_shut, sock)
        assert opened.wait(PATIENCE)

    def close(self, app: str) -> None:
        sock = [sock for name, sock in self._sockets if name == app][-1]
        _shut(sock)

    def _read(self, app: str, sock: socket.socket, connection: WSConnection, opened: threading.Event) -> None:
        text = ""
        while True:
            try:
                data = sock.recv(65536)
            except OSError:
                return
            if not data:
                return
            connection.receive_data(data)
            for event in connection.events():
                match event:
                    case AcceptConnection():
                        opened.set()
                    case RejectConnection():
                        return
                    case TextMessage(data=part, message_finished=finished):
                        text += part
                        if finished:
                            if app != self._phones:
                                self.arrived("event", to=app, event=json.loads(text))
                            text = ""
                    case Ping():
                        sock.sendall(connection.send(event.response()))
                    case CloseConnection():
                        return

    # ---- requests ----------------------------------------------------------------------------------------------------

    def _send(self, number: int, method: str, target: str, body: str) -> None:
        def ask() -> None:
            status, reason, content = self._ask(method, target, body)
            self.arrived("reply", request=number, status=status, reason=reason, **content)

        thread = threading.Thread(target=ask)
        thread.start()
        self.stack.callback(thread.join)

    def ask(self, method: str, target: str, body: str = "") -> tuple[int, str, Any]:
        """One request, and its answer."""
        status, reason, content = self._ask(method, target, body)
        return status, reason, content["body"]

    def _ask(self, method: str, target: str, body: str) -> tuple[int, str, dict[str, Any]]:
        connection = http.client.HTTPConnection(self.asterisk.host, self.asterisk.port, timeout=15)
        with contextlib.closing(connection):
            key = base64.b64encode(f"{self.asterisk.user}:{self.asterisk.password}".encode()).decode()
            headers = {"Authorization": f"Basic {key}"} | ({"Content-Type": "application/json"} if body else {})
            connection.request(method, f"/ari{target}", body or None, headers)
            response = connection.getresponse()
            text = response.read()
        content = content_of(text)
        if target == "/recordings/stored":  # other scenarios' are there, too
            own = [each for each in content["body"] if self.app in each["name"]]
            content["body"] = sorted(own, key=lambda each: str(each["name"]))  # Asterisk's order is the folder's
        return response.status, response.reason, content

    def _pump(self, end: float) -> bool:
        try:
            self.log.append(self.arrivals.get(timeout=max(0.0, end - self.now)))
        except queue.Empty:
            return False
        return True

    # ---- the far ends ------------------------------------------------------------------------------------------------

    def call(self) -> Far:
        return self._call(f"Local/{self.app}@stasis/n")

    def offer(self) -> Far:
        return self._call(f"Local/for-{self.app}@bcast/n")

    def _call(self, endpoint: str) -> Far:
        if not self._has_phones:
            self._has_phones = True
            self.open(self._phones)
        self.mark("far", does="calls")
        query = {"endpoint": endpoint, "app": self._phones, "callerId": "Al <100>"}
        status, _, body = self.ask("POST", f"/channels?{urlencode(query)}")
        assert status == 200, body
        return _RealFar(self, body["id"])

    def phone(self, statuses: Sequence[int]) -> Phone:
        return _RealPhone(self, statuses)

    def door(self) -> Door:
        return _RealDoor(self)

    # ---- afterwards --------------------------------------------------------------------------------------------------

    def clean_up(self) -> None:
        """Nothing that this stage has made is left."""
        for channel in self.asterisk.channels():
            if self.app in json.dumps(channel):
                self.asterisk.hang_up(channel["id"])
        for recording in self.ask("GET", "/recordings/stored")[2]:
            if self.app in recording["name"]:
                self.ask("DELETE", f"/recordings/stored/{quote(recording['name'], safe='')}")
        for bridge in self.asterisk.get("/bridges")[1]:
            if self.app in bridge["id"]:
                self.asterisk.request("DELETE", f"/bridges/{bridge['id']}")


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


class _RealFar(Far):
    def __init__(self, stage: RealStage, channel: str) -> None:
        super().__init__(stage)
        self._stage = stage
        self._channel = channel
        self._recordings = 0

    def _ask(self, method: str, path: str, **query: str) -> None:
        status, _, body = self._stage.ask(method, f"/channels/{quote(self._channel)}{path}?{urlencode(query)}")
        assert status < 300, body

    def _in_stasis(self) -> None:
        """Wait until the phone's own half is up, and can be told something."""
        stage = self._stage
        end = stage.now + PATIENCE
        while stage.now < end:
            status, _, body = stage.ask("GET", f"/channels/{quote(self._channel)}")
            if status == 200 and body["dialplan"]["app_name"] == "Stasis":
                return
            time.sleep(0.005)
        raise NeverCame("the far end's answer")

    def _press(self, digits: str) -> None:
        self._in_stasis()
        self._ask("POST", "/dtmf", dtmf=digits, between="100", duration="100")

    def _talk(self) -> None:
        self._in_stasis()
        self._ask("POST", "/play", media="sound:hello-world,sound:silence/3")

    def _speak(self) -> None:
        self._in_stasis()
        self._ask("POST", "/play", media="sound:hello-world")

    def _send_silence(self) -> None:
        self._in_stasis()
        self._ask("POST", "/play", media="sound:silence/10")

    def _listen(self) -> None:
        """By way of a bridge: see :meth:`tests.asterisk.rig.Rig.recorded`."""
        self._in_stasis()
        self._recordings += 1
        for path in (
            f"?{urlencode({'type': 'mixing'})}",
            f"/record?{urlencode({'name': self._recording, 'format': 'wav'})}",
            f"/addChannel?{urlencode({'channel': self._channel, 'inhibitConnectedLineUpdates': 'true'})}",
        ):
            status, _, body = self._stage.ask("POST", f"/bridges/{self._recording}{path}")
            assert status < 300, body

    def _stop_listening(self) -> bool:
        stage = self._stage
        status, _, _ = stage.ask("POST", f"/recordings/live/{self._recording}/stop")
        assert status == 204
        while stage.ask("GET", f"/recordings/live/{self._recording}")[0] == 200:
            time.sleep(0.005)
        stage.ask("DELETE", f"/bridges/{self._recording}")
        _, _, content = stage._ask("GET", f"/recordings/stored/{self._recording}/file", "")
        return bool(content["sound"])

    @property
    def _recording(self) -> str:
        return f"{self._stage.app}-{self._channel}-{self._recordings}"

    def _hang_up(self) -> None:
        self._ask("DELETE", "")


class _RealPhone(Phone):
    def __init__(self, stage: RealStage, statuses: Sequence[int]) -> None:
        super().__init__(stage)
        self._portal = stage.portal()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        stage.aliases[f"127.0.0.1:{port}"] = "PHONE"
        self.endpoint = f"PJSIP/uas/sip:alice@127.0.0.1:{port}"
        self._phone = stage.stack.enter_context(
            self._portal.wrap_async_context_manager(sip_phone(stage.asterisk, statuses, port=port, pause=SIP_PAUSE))
        )

    def _do(self, what: str) -> None:
        phone = self._phone
        match what.split():
            case ["calls"]:
                self._portal.call(phone.call, self.stage.app)
            case ["cancels"]:
                self._portal.call(phone.cancel)
            case ["hangs", "up"]:
                self._portal.call(phone.hang_up)
            case ["holds"]:
                self._portal.call(phone.hold)
            case ["resumes"]:
                self._portal.call(phone.hold, "sendrecv")
            case ["will", *_, status]:
                phone.refer_answer = int(status)
            case ["reports", status]:
                self._portal.call(phone.until, "REFER")
                self._portal.call(phone.notify, int(status))
            case ["asks", "for", user]:
                self._portal.call(phone.transfer, user)
            case ["answers", status]:
                self._portal.call(phone.answer, int(status))
            case _:
                raise AssertionError(what)


class _RealDoor(Door):
    def __init__(self, stage: RealStage) -> None:
        super().__init__(stage)
        self._stage = stage
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        stage.aliases[self.address] = "DOOR"
        self._connection: socket.socket | None = None
        self._open = threading.Event()
        thread = threading.Thread(target=self._serve)
        thread.start()
        stage.stack.callback(thread.join)
        stage.stack.callback(self._shut)

    def _serve(self) -> None:
        with self._server:
            try:
                self._connection, _ = self._server.accept()
            except OSError:
                return
        self._stage.arrived("event", to="DOOR", event={"type": "(accepted)"})
        self._open.set()
        speaker = threading.Thread(target=self._speak)
        speaker.start()
        with self._connection as connection:
            self._listen(connection)
            self._open.clear()
            speaker.join()

    def _listen(self, connection: socket.socket) -> None:
        data = b""
        while True:
            try:
                more = connection.recv(65536)
            except OSError:
                more = b""
            if not more:
                self._stage.arrived("event", to="DOOR", event={"type": "(closed)"})
                return
            data += more
            while len(data) >= 3 and len(data) >= (size := 3 + int.from_bytes(data[1:3], "big")):
                message, data = data[:size], data[size:]
                if message[0] == 3:
                    self._stage.arrived("event", to="DOOR", event={"type": "(digit)", "digit": message[3:].decode()})

    def _speak(self) -> None:
        """Silence, as a peer that never says anything can freeze a channel."""
        while self._open.is_set():
            try:
                self._say(b"\x10\x01\x40" + bytes(320))
            except OSError:
                return
            time.sleep(0.02)

    def _say(self, data: bytes) -> None:
        assert self._open.wait(PATIENCE)
        assert self._connection is not None
        with contextlib.suppress(OSError):
            self._connection.sendall(data)

    def _close(self) -> None:
        assert self._open.wait(PATIENCE)
        assert self._connection is not None
        self._open.clear()
        _shut(self._connection)

    def _shut(self) -> None:
        self._open.clear()
        _shut(self._server)
        if self._connection is not None:
            _shut(self._connection)
