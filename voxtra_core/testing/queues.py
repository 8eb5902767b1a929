"""Queues, as their callers see them: what ``provision --queues`` prints, and ``Queue()`` with one member.

Simpler than the real ones: callers do not wait for each other, and a member is a telephone that rings until it is
answered, and nobody who would hear or say anything.
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

__all__ = ["QueueContext", "SimulatedQueue", "enter_queue", "read_function"]


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
    """``Queue()``, and what follows it."""
    variables = channel.variables
    name, options = variables.get(Variable.QUEUE, ""), variables.get(Variable.OPTIONS, "")
    timeout = variables.get(Variable.TIMEOUT, "")
    exchange.set_variable(channel, "QUEUESTATUS", "")
    data = f"{name},{options},,,{timeout}"
    channel.runs("Queue", data)
    exchange.publish(channel, "ChannelDialplan", dialplan_app="Queue", dialplan_app_data=data)
    queue = context.queues.get(name)
    if queue is None:
        _go_on(exchange, channel)
    elif not queue.member:
        _go_on(exchange, channel, "JOINEMPTY")
    else:
        _Caller(exchange, channel, queue, options, float(timeout) if timeout else None).wait()


def _go_on(exchange: Exchange, channel: Channel, status: str = "") -> None:
    """The queue has let it go: back, or hung up."""
    variables = channel.variables
    if status:
        exchange.set_variable(channel, "QUEUESTATUS", status)
    if variables.get(Variable.BACK):
        arguments = (CAME_FROM, status, variables.get(Variable.QUEUE, ""), variables.get(Variable.CALLED, ""))
        exchange.enter_stasis(channel, variables.get(Variable.APP, ""), arguments)
    else:
        exchange.hang_up(channel, 16)


class _Caller:
    """Somebody in a queue."""

    def __init__(
        self, exchange: Exchange, channel: Channel, queue: SimulatedQueue, options: str, timeout: float | None
    ) -> None:
        self._exchange = exchange
        self._channel = channel
        self._queue = queue
        self._options = options
        self._timeout = timeout
        # no channel of its own: nobody else can see it, or do anything with it
        name = f"{queue.member}-{exchange.next_call_number()}"
        self._member = attrs.evolve(channel, id=exchange.new_channel_id(), name=name, state="Down")

    def wait(self) -> None:
        """The member's telephone rings until it is answered, or the time is over."""
        self._dial("")
        self._member.state = "Ringing"
        self._dial("RINGING")
        answers, timeout = self._queue.answers_after, self._timeout
        if answers is not None and (timeout is None or answers <= timeout):
            self._later(answers, self._answered)
        elif timeout is not None:
            self._later(timeout, self._time_is_over)

    def _answered(self) -> None:
        self._member.state = "Up"
        self._dial("ANSWER")
        self._exchange.answer(self._channel)
        self._exchange.set_variable(self._channel, "BRIDGEPEER", self._member.name)
        if self._queue.talks is not None:
            self._later(self._queue.talks, self._member_hangs_up)

    def _member_hangs_up(self) -> None:
        self._exchange.set_variable(self._channel, "BRIDGEPEER", "")
        if "c" in self._options:
            _go_on(self._exchange, self._channel, "CONTINUE")
        else:
            self._exchange.hang_up(self._channel, 16)

    def _time_is_over(self) -> None:
        self._dial("CANCEL")
        self._exchange.set_variable(self._channel, "ABANDONED", "TRUE")
        _go_on(self._exchange, self._channel, "TIMEOUT")

    def _later(self, seconds: float, then: Callable[[], None]) -> None:
        self._channel.leaving = self._exchange.agenda.after(seconds, then)

    def _dial(self, status: str) -> None:
        self._exchange.applications.publish(
            self._channel.id,
            "Dial",
            {
                "dialstatus": status,
                "forward": "",
                "dialstring": self._queue.member,
                "caller": self._channel.snapshot(),
                "peer": self._member.snapshot(),
            },
        )
