"""Queues, as their callers see them: what ``provision --queues`` prints, and ``Queue()`` with one member.

Simpler than the real ones: callers do not wait for each other, and a member is a telephone that rings until it is
answered, and nobody who would hear or say anything. What is told of it is compared with a real one in
``tests/fidelity/scenes/queueing.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import attrs

from ..queueing import CAME_FROM, Variable
from .dialplan import Extension

if TYPE_CHECKING:
    from .channels import Channel
    from .exchange import Exchange

__all__ = ["QueueCaller", "QueueContext", "SimulatedQueue", "enter_queue", "read_function"]


@attrs.frozen
class SimulatedQueue:
    """One of ``queues.conf``. Times are in seconds."""

    answers_after: float | None = None
    """When the member answers; ``None`` for never."""
    talks: float | None = None
    """When the member hangs up after that; ``None`` to leave that to the caller."""
    member: str = "PJSIP/agent"
    """``""`` for a queue that has none, and which nobody may join."""


@attrs.frozen(kw_only=True)
class QueueContext(Extension):
    """What ``provision --queues`` prints, and the queues that there are, by name. For ``run_call(dialplan=…)``:
    ``{("voxtra-queue", "s"): QueueContext(queues={"support": SimulatedQueue(answers_after=3.0)})}``.
    """

    application: str = attrs.field(default="Queue", init=False)
    queues: Mapping[str, SimulatedQueue]


def read_function(exchange: Exchange, name: str) -> str | None:
    """What a function says of dialplan and queues; ``None`` for any other."""
    function, _, argument = name.removesuffix(")").partition("(")
    match function:
        case "DIALPLAN_EXISTS":
            context, exten, priority = [*argument.split(","), "", ""][:3]
            return "1" if (context, exten or "s") in exchange.dialplan and priority in {"", "1"} else "0"
        case "QUEUE_EXISTS":
            contexts = [place for place in exchange.dialplan.values() if isinstance(place, QueueContext)]
            return "1" if any(argument in context.queues for context in contexts) else "0"
        case _:
            return None


def enter_queue(exchange: Exchange, channel: Channel, context: QueueContext) -> None:
    """``Queue()``, what comes before it, and what follows it."""
    QueueCaller(exchange, channel, context).enter()


_BACK, _DONE = 6, 14  # priorities in the context


class QueueCaller:
    """Somebody in a queue. The order of all that is said is that of a 22.10.1."""

    def __init__(self, exchange: Exchange, channel: Channel, context: QueueContext) -> None:
        self._exchange = exchange
        self._channel = channel
        variables = channel.variables
        self._name = variables.get(Variable.QUEUE, "")
        self._options = variables.get(Variable.OPTIONS, "")
        self._timeout = variables.get(Variable.TIMEOUT, "")
        self._queue = context.queues.get(self._name)
        self._since = 0  # the calendar's second
        self._answered_at: float | None = None
        self._member: Channel | None = None

    # ---- before the queue --------------------------------------------------------------------------------------------

    def enter(self) -> None:
        """As far as ``Queue()``, and into it."""
        channel = self._channel
        self._step(1, "Set", "QUEUESTATUS=")
        self._set("QUEUESTATUS", "")
        is_up = channel.state == "Up"
        self._step(2, "ExecIf", f"{0 if is_up else 1}?Ringing()")
        if not is_up and channel.line is not None:
            channel.line.indicate_ringing(True)
        self._step(3, "Queue", f"{self._name},{self._options},,,{self._timeout}")
        for name in ("ANSWEREDTIME", "DIALEDTIME", "QUEUEWAIT"):
            self._set(name, "")
            self._set(f"{name}_MS", "")
        if self._queue is None:
            self._go_on("UNKNOWN")
        elif not self._queue.member:
            self._go_on("JOINEMPTY")
        else:
            self._wait(self._queue)

    # ---- in it -------------------------------------------------------------------------------------------------------

    def _wait(self, queue: SimulatedQueue) -> None:
        """The member's telephone rings until it is answered, or the time is over."""
        exchange, channel = self._exchange, self._channel
        # no channel of its own: nobody else can see it, or do anything with it
        number = exchange.next_call_number()
        local = queue.member.removesuffix("/n")
        name = f"{local}-{number};1" if local.startswith("Local/") else f"{queue.member}-{number}"
        self._member = attrs.evolve(channel, id=exchange.new_channel_id(), name=name, state="Down")
        self._since = exchange.seconds()
        channel.queue = self
        if channel.state == "Up" and channel.line is not None:
            channel.line.play_music("default")
        self._dial("")
        answers, timeout = queue.answers_after, float(self._timeout) if self._timeout else None
        if answers != 0:
            self._member.state = "Ringing"
            self._dial("RINGING")
        if answers is not None and (timeout is None or answers <= timeout):
            self._later(answers, self._answered)
        elif timeout is not None:
            self._later(timeout, self._time_is_over)

    def _answered(self) -> None:
        assert self._queue is not None
        assert self._member is not None
        self._member.state = "Up"
        self._dial("ANSWER")
        self._set("QUEUEPOSITION", "1")
        self._waited()
        self._stop_music()
        self._exchange.answer(self._channel)
        self._answered_at = self._exchange.agenda.now
        self._set("BRIDGEPEER", self._member.name)
        if self._queue.talks is not None:
            self._later(self._queue.talks, self._member_hangs_up)

    def _member_hangs_up(self) -> None:
        self._talked()
        if "c" in self._options:
            self._go_on("CONTINUE")
        else:
            self._channel.queue = None
            self._exchange.hang_up(self._channel, 16)

    def _time_is_over(self) -> None:
        self._dial("NOANSWER", dialstring="")
        self._dial("CANCEL")
        self._set("ABANDONED", "TRUE")
        self._waited()
        self._lasted()
        self._set("QUEUEPOSITION", "1")
        self._go_on("TIMEOUT")

    def hung_up(self) -> None:
        """The caller has gone, or was hung up."""
        if self._answered_at is not None:
            self._talked()
            return
        self._dial("CANCEL", dialstring="")
        self._dial("CANCEL")
        self._waited()
        self._lasted()
        self._set("ABANDONED", "TRUE")
        self._set("QUEUEPOSITION", "1")

    # ---- behind it ---------------------------------------------------------------------------------------------------

    def _go_on(self, status: str) -> None:
        """The queue has let it go: back, or hung up."""
        channel, variables = self._channel, self._channel.variables
        channel.queue = None
        self._stop_music()
        self._set("QUEUESTATUS", status)
        back = variables.get(Variable.BACK, "")
        self._step(4, "GotoIf", f"{back}?:done")
        if not back:
            self._step(_DONE, "Hangup", "")
            self._exchange.hang_up(channel, 16)
            return
        self._step(5, "Set", "VOXTRA_UNTIL=")
        self._set("VOXTRA_UNTIL", "")
        app = variables.get(Variable.APP, "")
        arguments = (CAME_FROM, status, self._name, variables.get(Variable.CALLED, ""))
        self._step(_BACK, "Stasis", ",".join([app, *arguments]))
        self._exchange.enter_stasis(channel, app, arguments)

    # ---- what is said ------------------------------------------------------------------------------------------------

    def _waited(self) -> None:
        seconds = self._exchange.seconds() - self._since
        self._set("QUEUEWAIT", str(seconds))
        self._set("QUEUEWAIT_MS", str(1000 * seconds))

    def _talked(self) -> None:
        self._set("BRIDGEPEER", "")
        self._measured("ANSWEREDTIME", self._answered_at)
        self._measured("DIALEDTIME", self._channel.since)

    def _lasted(self) -> None:
        self._measured("DIALEDTIME", self._channel.since)
        self._measured("ANSWEREDTIME", None)

    def _measured(self, name: str, since: float | None) -> None:
        milliseconds = 0 if since is None else round(1000 * (self._exchange.agenda.now - since))
        self._set(name, str(milliseconds // 1000))
        self._set(f"{name}_MS", str(milliseconds))

    def _step(self, priority: int, app: str, data: str) -> None:
        channel = self._channel
        channel.place = attrs.evolve(channel.place, priority=priority, app=app, data=data)
        self._exchange.publish(channel, "ChannelDialplan", dialplan_app=app, dialplan_app_data=data)

    def _set(self, name: str, value: str) -> None:
        self._exchange.set_variable(self._channel, name, value)

    def _stop_music(self) -> None:
        if self._channel.line is not None:
            self._channel.line.play_music(None)

    def _later(self, seconds: float, then: Callable[[], None]) -> None:
        self._channel.leaving = self._exchange.agenda.after(seconds, then)

    def _dial(self, status: str, *, dialstring: str | None = None) -> None:
        assert self._queue is not None
        assert self._member is not None
        self._exchange.applications.publish(
            self._channel.id,
            "Dial",
            {
                "dialstatus": status,
                "forward": "",
                "dialstring": self._queue.member if dialstring is None else dialstring,
                "caller": self._channel.snapshot(),
                "peer": self._member.snapshot(),
            },
        )
