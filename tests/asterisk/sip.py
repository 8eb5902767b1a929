"""A SIP phone, for what a Local channel cannot do: refuse with a status, cancel, transfer (RFC 3261), speak by RTP.

It keeps one call at a time, in either direction, and never repeats a message: it is for loopback only.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext

import anyio
from anyio.abc import UDPSocket

from .pbx import Asterisk
from .rig import eventually
from .rtp import RtpSound, rtp_sound

__all__ = ["SipPhone", "sip_phone"]

HOST = "127.0.0.1"
ALICE = '"Alice" <sip:{}@{}:{}>'
ANONYMOUS = '"Anonymous" <sip:anonymous@anonymous.invalid>'
NOWHERE = 9
"""The port for what is sent to nobody (discard), of a phone without sound."""
SDP = """\
v=0\r
o=- 1 1 IN IP4 127.0.0.1\r
s=-\r
c=IN IP4 127.0.0.1\r
t=0 0\r
m=audio {} RTP/AVP 0\r
a=rtpmap:0 PCMU/8000\r
"""


class SipPhone:
    """One phone, and its call: what it got from Asterisk stands in ``received``, methods and statuses in order."""

    def __init__(
        self,
        socket: UDPSocket,
        asterisk: Asterisk,
        answers: Sequence[int],
        contact: str,
        port: int,
        pause: float,
        sound: RtpSound | None,
    ) -> None:
        self.received: list[str] = []
        self.invite = ""
        """The whole of the last INVITE, whoever sent it."""
        self.notified: list[int] = []
        """The statuses that it was told of a transfer, one after another (RFC 3515, 2.4.4)."""
        self.refer_answer = 200
        """The status with which a REFER is answered."""
        self._refer = ""
        self._socket = socket
        self._sending = anyio.Lock()
        self._asterisk = asterisk
        self._answers = answers
        self._contact = f"<sip:{contact or 'phone'}@{HOST}:{asterisk.sip_port if contact else port}>"
        self._port = port
        self._pause = pause
        self._sound = sound
        self._sdp = SDP.format(NOWHERE if sound is None else sound.port)
        self._sequence = 1
        self._local = self._remote = self._call_id = ""
        self._target = ""

    @property
    def sound(self) -> RtpSound:
        """What its user says and hears. Only of one that has sound."""
        assert self._sound is not None
        return self._sound

    # ---- what its user does ----------------------------------------------------------------------------------------

    async def call(self, user: str, *, number: str = "5550100", withheld: bool = False) -> None:
        """Call ``user`` at Asterisk, from ``number``; :meth:`until` waits for what becomes of it. ``withheld``: without
        saying who calls (RFC 3323, 4.1.1.3).
        """
        self._target = f"sip:{user}@{HOST}:{self._asterisk.sip_port}"
        self._call_id = uuid.uuid4().hex
        caller = ANONYMOUS if withheld else ALICE.format(number, HOST, self._port)
        self._local = f"{caller};tag={uuid.uuid4().hex[:8]}"
        self._remote = f"<{self._target}>"
        self.invite = await self._request("INVITE", body=self._sdp)

    async def until(self, message: str) -> None:
        """Wait for a method or a status from Asterisk."""
        await eventually(lambda: message in self.received)

    async def cancel(self) -> None:
        """Give up a call that is not answered yet."""
        await self._send(re.sub("INVITE", "CANCEL", self.invite.partition("\r\nContent")[0]) + "\r\nContent-Length: 0")

    async def hang_up(self) -> None:
        """End the call that is up."""
        self._part()
        await self._request("BYE")
        await self.until("200 BYE")

    async def hold(self, direction: str = "sendonly") -> None:
        """Put Asterisk on hold, or with ``"sendrecv"`` no longer (RFC 3264, 8.4). Returns when it is accepted: a second
        re-INVITE ahead of that would be refused (RFC 3261, 14.1).
        """
        accepted = self.received.count("200")
        self.invite = await self._request("INVITE", body=f"{self._sdp}a={direction}\r\n")
        await eventually(lambda: self.received.count("200") > accepted)

    async def answer(self, status: int) -> None:
        """Answer the last INVITE from Asterisk, beyond what it was answered with at once."""
        await self._answer(self.invite, status, body=self._sdp if status == 200 else "")

    async def transfer(self, user: str) -> None:
        """Have Asterisk put ``user`` in this phone's place: a blind transfer (RFC 3515)."""
        await self._request("REFER", f"Refer-To: <sip:{user}@{HOST}:{self._asterisk.sip_port}>")

    async def transfer_to_line(self, line: SipPhone) -> None:
        """Have Asterisk connect the parties of this call and another line's: an attended transfer (RFC 5589, 7.3)."""
        ours, theirs = (field.partition(";tag=")[2] for field in (line._local, line._remote))
        replaces = f"{line._call_id}%3Bto-tag%3D{theirs}%3Bfrom-tag%3D{ours}"
        await self._request("REFER", f"Refer-To: <{line._target}?Replaces={replaces}>")

    async def notify(self, status: int) -> None:
        """Tell how far it has come with the REFER that it has accepted."""
        state = "active;expires=60" if status < 200 else "terminated;reason=noresource"
        await self._request(
            "NOTIFY",
            f"Event: refer;id={_field(self._refer, 'cseq').split(' ')[0]}",
            f"Subscription-State: {state}",
            kind="message/sipfrag;version=2.0",
            body=f"SIP/2.0 {status} Status\r\n",
        )

    # ---- messages --------------------------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Read, and answer, what Asterisk sends."""
        async for data, _ in self._socket:
            message = data.decode()
            first = message.split("\r\n", 1)[0].split(" ")
            if first[0] != "INVITE" and _field(message, "call-id") != self._call_id:
                continue  # of a call before this one
            if first[0] == "SIP/2.0":
                await self._answered(message, first[1], _field(message, "cseq").split(" ")[1])
            else:
                self.received.append(first[0])
                if status := re.search(r"(?m)^SIP/2.0 (\d+)", message):  # in the body of a NOTIFY
                    self.notified.append(int(status[1]))
                await self._asked(message, first[0])

    async def _answered(self, message: str, status: str, method: str) -> None:
        self.received.append(status if method == "INVITE" else f"{status} {method}")
        if method == "INVITE" and int(status) >= 200:
            self._remote = _field(message, "to")
            if status == "200":
                self._target = _uri(message)
                self._meet(message)
            await self._request("ACK", via=None if status == "200" else _field(self.invite, "via"))

    async def _asked(self, message: str, method: str) -> None:
        if method == "INVITE":
            self.invite = message
            self._call_id = _field(message, "call-id")
            self._local = _field(message, "to") + ";tag=phone"
            self._remote = _field(message, "from")
            self._target = _uri(message)
            self._meet(message)
            for status in self._answers:
                await anyio.sleep(self._pause)
                await self.answer(status)
        elif method == "CANCEL":
            await self._answer(message, 200)
            await self._answer(self.invite, 487)
        elif method == "REFER":
            self._refer = message
            await self._answer(message, self.refer_answer)
        elif method != "ACK":
            if method == "BYE":
                self._part()
            await self._answer(message, 200)

    def _meet(self, message: str) -> None:
        """The SDP of a message says where to send sound."""
        if self._sound is not None:
            self._sound.peer = (_line(message, "c=IN IP4 "), int(_line(message, "m=audio ").split(" ")[0]))

    def _part(self) -> None:
        """The port that sound was sent to will be another call's."""
        if self._sound is not None:
            self._sound.peer = None

    async def _answer(self, request: str, status: int, body: str = "") -> None:
        to = _field(request, "to")
        lines = [
            f"SIP/2.0 {status} Status",
            *(f"{name}: {_field(request, name)}" for name in ("via", "from", "call-id", "cseq")),
            f"To: {to if 'tag=' in to else self._local}",
            *self._end(body),
        ]
        await self._send("\r\n".join(lines))

    async def _request(
        self, method: str, *fields: str, body: str = "", kind: str = "application/sdp", via: str | None = None
    ) -> str:
        if method != "ACK":
            self._sequence += 1
        lines = [
            f"{method} {self._target} SIP/2.0",
            f"Via: {via or f'SIP/2.0/UDP {HOST}:{self._port};branch=z9hG4bK{uuid.uuid4().hex}'}",
            "Max-Forwards: 70",
            f"From: {self._local}",
            f"To: {self._remote}",
            f"Call-ID: {self._call_id}",
            f"CSeq: {self._sequence} {method}",
            *fields,
            *self._end(body, kind),
        ]
        request = "\r\n".join(lines)
        await self._send(request)
        return request

    def _end(self, body: str, kind: str = "application/sdp") -> list[str]:
        content = [f"Content-Type: {kind}"] if body else []
        return [f"Contact: {self._contact}", *content, f"Content-Length: {len(body)}", "", body]

    async def _send(self, message: str) -> None:
        text = message if "\r\n\r\n" in message else f"{message}\r\n\r\n"
        async with self._sending:
            await self._socket.sendto(text.encode(), HOST, self._asterisk.sip_port)


@asynccontextmanager
async def sip_phone(
    asterisk: Asterisk,
    answers: Sequence[int] = (180, 200),
    *,
    contact: str = "",
    port: int = 0,
    pause: float = 0,
    sound: bool = False,
) -> AsyncIterator[SipPhone]:
    """A phone at ``PJSIP/anybody@uas``, which answers a call with these statuses, one after another.

    With ``contact``, a user at Asterisk, it wants to be called there: where a 302 leads to. With a ``port`` of its own
    it is at ``PJSIP/uas/sip:anybody@127.0.0.1:port``. It takes ``pause`` seconds before each answer. With ``sound`` it
    speaks and hears: :attr:`SipPhone.sound`.
    """
    port = port or asterisk.uas_port
    async with (
        await anyio.create_udp_socket(local_host=HOST, local_port=port) as socket,
        rtp_sound(HOST) if sound else nullcontext() as rtp,
        anyio.create_task_group() as tasks,
    ):
        phone = SipPhone(socket, asterisk, answers, contact, port, pause, rtp)
        tasks.start_soon(phone.serve)
        yield phone
        tasks.cancel_scope.cancel()


def _field(message: str, name: str) -> str:
    """A header field of a message, the first of that name."""
    found = re.search(rf"(?im)^{name}\s*:\s*(.*?)\s*$", message)
    assert found is not None, f"no {name} in {message}"
    return found[1]


def _line(message: str, beginning: str) -> str:
    """The rest of the first line of an SDP that begins so."""
    found = re.search(rf"(?m)^{beginning}(.*?)\r?$", message)
    assert found is not None, f"no {beginning} in {message}"
    return found[1]


def _uri(message: str) -> str:
    """Where the sender of a message wants further ones."""
    return _field(message, "contact").partition("<")[2].partition(">")[0]
