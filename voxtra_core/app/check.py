"""Finds out what is wrong with the way to Asterisk, and changes nothing on it.

It asks one question after another, each on a connection of its own, and never opens an event socket: that would take
the application's name, and with it the calls, from a program that runs. Where Asterisk is to connect to us, it listens
for a moment, and takes nobody in.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

import attrs

from .. import diagnosis
from ..ari import Request, applications, asterisk, channels, device_states
from ..diagnosis import Diagnosis
from ..effects import (
    Accepted,
    Close,
    Connect,
    Connected,
    Effect,
    EndOfStream,
    Failed,
    FailureKind,
    Finish,
    Input,
    Listen,
    Listening,
    Received,
    Send,
)
from ..errors import RemoteProtocolError
from . import findings
from .findings import Answer, Finding
from .options import Options
from .versions import CALLS, FEATURES, Feature

if TYPE_CHECKING:
    from ..wire.http import HTTPClient

__all__ = ["CheckMachine", "dialplan_entry", "needs_of"]

_IN_A_REQUEST = re.compile(r"[!-~]+")

Judge: TypeAlias = Callable[[Answer], Sequence[Finding]]


def dialplan_entry(text: str) -> tuple[str, str]:
    """The extension and the context in ``"100@from-phones"``; ``ValueError`` if that is not what it looks like."""
    exten, at, context = text.partition("@")
    if not (exten and at and context) or "/" in text or "\0" in text:
        raise ValueError(f"an extension must look like 100@from-phones, not {text!r}")
    return exten, context


def needs_of(options: Options) -> list[Feature]:
    """What an application with these options takes beside calls."""
    if options.listen is not None:
        return [FEATURES["outbound-websocket"]]
    return [FEATURES["rest-over-websocket"]] if options.requests == "websocket" else []


@attrs.define
class _Exchange:
    """One question on its way to its answer."""

    conn: int
    request: Request[Any]
    judge: Judge
    http: HTTPClient
    connected: bool = False
    beginning: bytes = b""
    """Of what has come."""


class CheckMachine:
    """One check of an application's options, as a machine for a driver (:class:`voxtra_core.effects.Machine`).

    It takes ``timeout`` seconds at most, and then :attr:`findings` has at least one; ``observer`` is called with each
    as it is made. ``needs`` are features that the application will use, beside calls and what its options take.
    ``extension`` (``"100@from-phones"``) is where calls for it come in. ``new_id`` gives the text of a fresh UUID.

    With ``listen`` among the options it looks whether that can be listened on; and if ``ari`` says where the ARI of an
    Asterisk is that is to connect there, whether that Asterisk can.

    Raises ``ValueError`` for an option that cannot be right.
    """

    def __init__(
        self,
        options: Options,
        *,
        new_id: Callable[[], str],
        observer: Callable[[Finding], object] = lambda finding: None,
        needs: Sequence[Feature] = (),
        extension: str | None = None,
        timeout: float = 5.0,
        ari: Options | None = None,
    ) -> None:
        self._listen = options
        self._needs_user = options.listen is None or ari is not None
        needs = (*needs_of(options), *needs)
        if options.listen is not None:
            if extension is not None:
                raise ValueError("no extension with listen: the applications' names are those of Asterisk's ari.conf")
            options = ari or options
        if not _IN_A_REQUEST.fullmatch(options.url):
            raise ValueError(f"ari_url must be ASCII without spaces (host as xn--…, path as %20…): {options.url!r}")
        if not timeout > 0:
            raise ValueError(f"timeout must be more than 0 seconds, not {timeout!r}")
        self.findings: list[Finding] = []
        self._options = options
        self._features = tuple(dict.fromkeys((CALLS, *needs)))
        self._extension = dialplan_entry(extension) if extension is not None else None
        self._timeout = timeout
        self._new_id = new_id
        self._observer = observer
        self._connections = count(1)
        self._questions: deque[tuple[Request[Any], Judge]] = deque()
        self._exchange: _Exchange | None = None
        self._listener: int | None = None
        self._deadline: float | None = None
        self._effects: list[Effect] = []

    # ---- Machine ---------------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Ask the first question."""
        self._deadline = now + self._timeout
        if self._listen.listen is None:
            self._begin_to_ask()
            return
        host, port = self._listen.listen
        self._listener = self.new_connection()
        self._effects.append(Listen(self._listener, host, port, self._listen.tls))

    def receive(self, event: Input, now: float) -> None:
        """Something the driver reports; what is not about the connection in use is ignored."""
        exchange = self._exchange
        match event:
            case Listening(listener) if listener == self._listener:
                self._effects.append(Close(listener))
                self._listened(None)
            case Failed(conn, reason) if conn == self._listener:
                self._listened(reason)
            case Accepted(_, conn):
                self._effects.append(Close(conn))
            case Connected(conn) if exchange and conn == exchange.conn:
                exchange.connected = True
                self._send(exchange)
            case Received(conn, data) if exchange and conn == exchange.conn:
                self._received(exchange, data)
            case EndOfStream(conn) if exchange and conn == exchange.conn:
                self._received(exchange, b"")
            case Failed(conn) if exchange and conn == exchange.conn:
                self._exchange = None
                if exchange.connected and event.kind is FailureKind.SYSTEM:
                    self._cut_off(exchange)
                else:
                    options = self._options
                    self._give_up(diagnosis.not_reached(options.host, options.port, event, encrypted=self._encrypted))
            case _:
                pass

    def new_connection(self) -> int:
        """A number for a connection."""
        return next(self._connections)

    def handle_timeout(self, now: float) -> None:
        """Give up if the time is over."""
        if self._deadline is not None and now >= self._deadline:
            if self._listener is not None:
                self._effects.append(Close(self._listener))
                self._listened("no answer in time")
                return
            exchange = self._exchange
            assert exchange is not None  # as long as there is a deadline
            options, connected = self._options, exchange.connected
            late = diagnosis.not_in_time(
                options.host, options.port, self._timeout, connected=connected, encrypted=self._encrypted
            )
            self._unanswered(exchange, late)

    def next_deadline(self) -> float | None:
        """When the time is over."""
        return self._deadline

    def effects_to_perform(self) -> list[Effect]:
        """What the driver is to do now."""
        effects, self._effects = self._effects, []
        return effects

    def interrupt(self, now: float) -> None:
        """Stop where we are."""
        if self._deadline is not None:
            self._finish()

    # ---- questions -------------------------------------------------------------------------------------------------

    def _listened(self, failure: str | None) -> None:
        assert self._listen.listen is not None
        self._listener = None
        self._found(findings.about_listening(*self._listen.listen, failure, encrypted=self._listen.tls is not None))
        if self._needs_user:
            self._begin_to_ask()
        else:
            self._found(findings.not_looked_at())
            self._finish()

    def _begin_to_ask(self) -> None:
        if self._options.user:
            self._ask_for_server()
            self._go_on()
        else:
            self._found(findings.no_user())
            self._finish()

    def _ask_for_server(self) -> None:
        """Who is there? The rest is asked if that is an Asterisk that knows us."""
        request = asterisk.get_info(only="system")

        def judge(answer: Answer) -> Sequence[Finding]:
            version = findings.version_in(answer, request)
            found = findings.about_server(self._options, answer, version)
            if version is None or not found.ok:
                return [found]
            self._ask_the_rest()
            return [found, *findings.about_version(version, self._features)]

        self._ask(request, judge)

    def _ask_the_rest(self) -> None:
        options, app_name = self._options, self._options.app_name
        nobody = channels.ring(f"no-such-channel-{self._new_id()}")
        modules = asterisk.list_modules()
        if self._listen.listen is not None:  # there the rights are those of local_ari_user, and the names ari.conf's
            self._ask(modules, lambda answer: findings.about_modules(answer, modules, self._features))
            return
        self._ask(nobody, lambda answer: [findings.about_rights(options, answer)])
        self._ask(modules, lambda answer: findings.about_modules(answer, modules, self._features))
        self._ask(applications.get(app_name), lambda answer: [findings.about_application(app_name, answer)])
        if self._extension is not None:
            exten, context = self._extension
            device = device_states.get(f"Local/{exten}@{context}")
            self._ask(device, lambda answer: [findings.about_extension(exten, context, app_name, answer, device)])

    def _ask(self, request: Request[Any], judge: Judge) -> None:
        self._questions.append((request, judge))

    # ---- one exchange after the other ------------------------------------------------------------------------------

    def _go_on(self) -> None:
        from ..wire.http import HTTPClient  # here, so that nothing above needs h11 before there is a socket

        if not self._questions:
            self._finish()
            return
        options = self._options
        request, judge = self._questions.popleft()
        self._exchange = _Exchange(self.new_connection(), request, judge, HTTPClient())
        self._effects.append(Connect(self._exchange.conn, options.host, options.port, options.tls))

    def _send(self, exchange: _Exchange) -> None:
        options = self._options
        credentials = b64encode(f"{options.user}:{options.password}".encode()).decode("ascii")
        exchange.http.send_request(
            exchange.request.method,
            f"{options.path_prefix}/ari{exchange.request.target}",
            [("Host", urlsplit(options.url).netloc), ("Authorization", f"Basic {credentials}")],
        )
        self._effects.append(Send(exchange.conn, exchange.http.data_to_send()))

    def _received(self, exchange: _Exchange, data: bytes) -> None:
        """What comes in; ``b""`` for its end."""
        exchange.beginning += data[: diagnosis.ENOUGH - len(exchange.beginning)]
        if diagnosis.is_foreign(exchange.beginning):
            self._give_up(self._not_http(exchange))
            return
        broken = False
        try:
            if data:
                exchange.http.receive_data(data)
            else:
                exchange.http.receive_eof()
        except RemoteProtocolError:
            broken = True
        response = exchange.http.next_event()
        if response is not None:
            self._close()
            for finding in exchange.judge(Answer(response.status, response.body)):
                self._found(finding)
            self._go_on()
        elif not data:
            self._cut_off(exchange)
        elif broken:
            self._give_up(self._not_http(exchange))

    @property
    def _encrypted(self) -> bool:
        return self._options.tls is not None

    def _not_http(self, exchange: _Exchange) -> Diagnosis:
        return diagnosis.not_http(self._options.host, self._options.port, exchange.beginning)

    def _cut_off(self, exchange: _Exchange) -> None:
        options = self._options
        self._unanswered(exchange, diagnosis.cut_off(options.host, options.port, encrypted=self._encrypted))

    def _unanswered(self, exchange: _Exchange, reason: Diagnosis) -> None:
        """Give up for this reason, unless what it has said so far tells more."""
        self._give_up(reason if diagnosis.may_be_http(exchange.beginning) else self._not_http(exchange))

    def _close(self) -> None:
        if self._exchange is not None:
            self._effects.append(Close(self._exchange.conn))
            self._exchange = None

    def _found(self, finding: Finding) -> None:
        self.findings.append(finding)
        self._observer(finding)

    def _give_up(self, reason: Diagnosis) -> None:
        self._found(findings.fault(reason))
        self._finish()

    def _finish(self) -> None:
        self._close()
        if self._listener is not None:
            self._effects.append(Close(self._listener))
            self._listener = None
        self._deadline = None
        self._effects.append(Finish())
