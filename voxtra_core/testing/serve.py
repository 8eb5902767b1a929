"""The simulated Asterisk on a port: for clients that have sockets.

A :class:`SimulatorServer` is a machine that a driver runs, like an application. It answers HTTP and event sockets as
Asterisk does, connects by AudioSocket to whom it is told to, and its calls take as long as real ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count

from ..call import Pending
from ..effects import TLS, Effect, Finish, Input
from ..errors import ConnectFailed
from ..session import Driver
from ..wire.server import AriServer, ListenFailed, RequestReceived, SocketClosed, SocketOpened
from .asterisk import SimulatedAsterisk
from .callers import Caller, Script
from .messages import SimClosed, SimEvent, SimReply
from .people import Person
from .serve_media import AudioSockets

__all__ = ["SimulatorServer"]


class SimulatorServer:
    """Serves one :class:`~.asterisk.SimulatedAsterisk` until it is stopped.

    ``users`` maps names to passwords; ``tls`` has a certificate, for ``https``. ``calls`` are callers who dial as soon
    as the application named with them connects; more can be added to the simulation itself.
    """

    def __init__(
        self,
        asterisk: SimulatedAsterisk,
        host: str,
        port: int,
        users: Mapping[str, str],
        *,
        tls: TLS | None = None,
        calls: Sequence[tuple[Caller, str]] = (),
    ) -> None:
        self.asterisk = asterisk
        self.listening = Pending[int]()
        """Settled with the port as soon as that is known, or with ``ConnectFailed`` if it can't be listened on."""
        self._connections = count(1)
        self._server = AriServer(host=host, port=port, tls=tls, users=users, new_conn=self.new_connection)
        self._media = AudioSockets(asterisk, self.new_connection)
        self._address = f"{host}:{port}"
        self._driver: Driver | None = None
        self._stopping = False
        self._finish: Finish | None = None
        self._finished = False
        for caller, app in calls:
            asterisk.add_caller(caller, app)

    @property
    def port(self) -> int | None:
        """The port that is listened on, once that is known."""
        return self._server.port

    def attach(self, driver: Driver) -> None:
        """The driver to be woken when something is asked of this machine."""
        self._driver = driver

    def stop(self) -> None:
        """Close everything and finish, within a second or so. Takes effect with the next step."""
        self._stopping = True
        if self._driver is not None:
            self._driver.wake()

    def call(self, caller: Caller, app: str, now: float) -> Person:
        """Somebody calls: see :meth:`SimulatedAsterisk.call`. What they do then can be said by :meth:`direct`."""
        person = self.asterisk.call(caller, app, now)
        self._look(now)
        return person

    def direct(self, person: Person, steps: Script, now: float) -> None:
        """Somebody does this as well, behind what they were to do before."""
        self.asterisk.handle_timeout(now)
        person.does(*steps.steps)
        self._look(now)

    def restart(self, now: float, *, boots: float = 0.0) -> None:
        """Asterisk is killed and started again, see :meth:`SimulatedAsterisk.restart`: every connection breaks."""
        self.asterisk.restart(now, boots=boots)
        self._server.drop_all()
        if self._driver is not None:
            self._driver.wake()

    # ---- Machine -----------------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Listen."""
        self._server.start(now)
        self._pump(now)

    def receive(self, event: Input, now: float) -> None:
        """Something the driver reports."""
        if not self._media.receive(event, now):
            self._server.receive(event, now)
        self._pump(now)

    def new_connection(self) -> int:
        """A number for a connection."""
        return next(self._connections)

    def handle_timeout(self, now: float) -> None:
        """Let time pass in the simulation."""
        self._server.handle_timeout(now)
        self.asterisk.handle_timeout(now)
        self._pump(now)

    def next_deadline(self) -> float | None:
        """The next thing that happens by itself."""
        if self._finish is not None:
            return None
        deadlines = (self._server.next_deadline(), self.asterisk.next_deadline())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def effects_to_perform(self) -> list[Effect]:
        """What the driver is to do now."""
        effects = [*self._media.effects, *self._server.effects_to_perform()]
        self._media.effects.clear()
        if self._finish is not None and not self._finished:
            self._finished = True
            effects.append(self._finish)
        return effects

    def interrupt(self, now: float) -> None:
        """The run is being cancelled: like :meth:`stop`."""
        self._stopping = True
        self._pump(now)

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        """Something has happened that the driver does not know of."""
        self._pump(now)
        if self._driver is not None:
            self._driver.wake()

    def _pump(self, now: float) -> None:
        """Carry messages between server and simulation until neither has any."""
        if self._stopping:
            self._server.close(now)
            self._media.close_all()
        while self._hand_in(now) or self._hand_out(now):
            pass
        if self._server.port is not None:
            self.listening.resolve(self._server.port)
        if self._server.is_closed and self._finish is None:
            self._finish = Finish()

    def _hand_in(self, now: float) -> bool:
        message = self._server.next_message()
        match message:
            case RequestReceived(request, method, target, body, content_type):
                if content_type.lower().startswith("application/x-www-form-urlencoded"):
                    target, body = _with_form(target, body), b""
                self.asterisk.receive_request(request, method, target, body, now)
            case SocketOpened(socket, apps, subscribe_all):
                self.asterisk.connect_app(socket, apps, subscribe_all, now)
            case SocketClosed(socket):
                self.asterisk.disconnect(socket, now)
            case ListenFailed(reason):
                error = ConnectFailed(f"could not listen on {self._address}: {reason}")
                self.listening.fail(error)
                self._finish = Finish(error)
            case None:
                return False
        return True

    def _hand_out(self, now: float) -> bool:
        message = self.asterisk.next_message()
        match message:
            case SimReply(request, status, reason, body, headers):
                content = [("Content-type", "application/json")] if body and "Content-type" not in headers else []
                self._server.reply(request, status, reason, (*headers.items(), *content), body, now=now)
            case SimEvent(socket, text):
                self._server.send_text(socket, text)
            case SimClosed(socket):
                self._server.close_socket(socket, 1001, now=now)
            case None:
                return False
        return True


def _with_form(target: str, form: bytes) -> str:
    """The parameters of a form as if they stood in the query, which beats them."""
    path, _, query = target.partition("?")
    pairs = [part for part in (form.decode("latin-1"), query) if part]
    return f"{path}?{'&'.join(pairs)}"
