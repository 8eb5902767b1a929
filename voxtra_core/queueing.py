"""Asterisk's queues: how a call is handed to one, and what there is to say of its way from there.

``Queue()`` is an application of the dialplan, and ARI has nothing for it. A call gets there by way of a context that
``voxtra provision --queues`` prints, which takes what it needs from the channel's own variables: no name is ever pasted
into a dialplan.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from enum import StrEnum

import attrs

__all__ = [
    "CAME_FROM",
    "CONTEXT",
    "CameBack",
    "Condition",
    "MemberAnswered",
    "MemberFailed",
    "MemberRinging",
    "QueueEnd",
    "QueueEntry",
    "QueueMember",
    "QueueOutcome",
    "Variable",
]

CONTEXT = "voxtra-queue"
"""The context that ``provision --queues`` prints; its extension is ``s``."""
CAME_FROM = "queue"
"""The first argument of ``Stasis()`` for a call that comes back from there. ``QUEUESTATUS``, the queue, and the number
that was called follow."""
LONGEST_NAME = 128
"""Bytes of a queue's name: Asterisk's own schema for a database has no room for more, and ``queues.conf`` has less."""
LONGEST_TIMEOUT = 2**31 - 1
"""Seconds: ``Queue()`` reads them into an ``int``."""

_CONTEXT = re.compile(r"[A-Za-z0-9_.-]{1,79}")
_OPTIONS = re.compile(r"[A-Za-z]{0,52}")
_MEANINGFUL = frozenset(',"\\()[]{}$;')
"""What ``Queue()`` would split its arguments at or take away, and what a dialplan evaluates, should someone's name the
queue in its own text."""


class Variable(StrEnum):
    """The channel variables that the context reads."""

    QUEUE = "VOXTRA_QUEUE"
    OPTIONS = "VOXTRA_QUEUE_OPTIONS"
    TIMEOUT = "VOXTRA_QUEUE_TIMEOUT"
    APP = "VOXTRA_QUEUE_APP"
    """Which application a call comes back to."""
    BACK = "VOXTRA_QUEUE_BACK"
    """``1`` where it comes back, and is not hung up, when it leaves the queue."""
    CALLED = "VOXTRA_QUEUE_CALLED"
    """Which number was called, so that it comes back to the same route."""


@attrs.frozen
class Condition:
    """What has to be so in Asterisk before a call can be handed to a queue."""

    function: str
    """Of the dialplan; ``1`` when it is so."""
    unmet: str
    """What to say when it is not."""
    unknown: str
    """… and when Asterisk has no such function."""


@attrs.frozen
class QueueEntry:
    """What is asked for with ``transfer_to_queue()``."""

    queue: str
    timeout: float | None = None
    options: str = ""
    come_back: bool = False
    context: str = CONTEXT

    def check(self) -> None:
        """Raise ``ValueError`` for what Asterisk could not do, or would take for something else."""
        if not self.queue or len(self.queue.encode()) > LONGEST_NAME:
            raise ValueError(f"a queue's name has 1 to {LONGEST_NAME} bytes, not {len(self.queue)} characters")
        if not _is_one_argument(self.queue):
            raise ValueError(
                f"a queue's name has no space at its ends, no unprintable character, and none of "
                f"{' '.join(sorted(_MEANINGFUL))}: {self.queue!r}"
            )
        if self.timeout is not None and not 0 < self.timeout <= LONGEST_TIMEOUT:
            raise ValueError(f"timeout must be more than 0 and at most {LONGEST_TIMEOUT} seconds, not {self.timeout!r}")
        if not _OPTIONS.fullmatch(self.options):
            raise ValueError(
                f"options must be letters, of those options of Queue() that take nothing: {self.options!r}"
            )
        if not _CONTEXT.fullmatch(self.context):
            raise ValueError(f"context must be 1 to 79 of A-Z a-z 0-9 _ - . and not {self.context!r}")

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What has to be so, in the order in which to ask."""
        return (
            Condition(
                f"DIALPLAN_EXISTS({self.context},s,1)",
                f"Asterisk's dialplan has no {self.context},s: put what `voxtra provision --queues` prints into its "
                f"extensions.conf, and have that reloaded",
                "Asterisk cannot say whether it has the dialplan for queues: load its module func_dialplan",
            ),
            Condition(
                f"QUEUE_EXISTS({self.queue})",
                f"Asterisk has no queue {self.queue!r}",
                "Asterisk has no queues: load its module app_queue",
            ),
        )

    def variables(self, app_name: str, called_number: str) -> Mapping[str, str]:
        """What the context needs to know. All of it is set each time: a call may have been there before."""
        return {
            Variable.QUEUE.value: self.queue,
            Variable.OPTIONS.value: self.options,
            Variable.TIMEOUT.value: "" if self.timeout is None else str(math.ceil(self.timeout)),
            Variable.APP.value: app_name,
            Variable.BACK.value: "1" if self.come_back else "",
            Variable.CALLED.value: called_number if _is_one_argument(called_number) else "",
        }


def _is_one_argument(text: str) -> bool:
    return text.isprintable() and text == text.strip() and not _MEANINGFUL & set(text)


@attrs.frozen
class CameBack:
    """What the arguments of ``Stasis()`` say of a call that comes back."""

    status: str
    called_number: str

    @classmethod
    def parse(cls, app_data: str) -> CameBack | None:
        """From all of them, the application's name included; ``None`` for those of other calls."""
        match app_data.split(","):
            case [_, came_from, status, _, called_number] if came_from == CAME_FROM:
                return cls(status, called_number)
            case _:
                return None


@attrs.frozen
class QueueMember:
    """A member of a queue, as far as the events of a caller's channel say who that is."""

    interface: str
    """What is called, as ``queues.conf`` has it: ``PJSIP/alice``. Of one who has answered while there was no connection
    to Asterisk, the channel's name without its number."""
    channel: str
    """The name of the member's channel: ``PJSIP/alice-0000001a``."""
    channel_id: str = ""
    """Its id; ``""`` of one who has answered while there was no connection."""
    name: str = ""
    """The member's name, where the queue has ``setinterfacevar=yes``, and once the member has answered."""


@attrs.frozen
class MemberRinging:
    """A member's telephone rings."""

    member: QueueMember


@attrs.frozen
class MemberFailed:
    """A member's telephone rings no more, or never did, and this member has not answered."""

    member: QueueMember
    dialstatus: str
    """``BUSY``, ``NOANSWER``, ``CHANUNAVAIL``, …; ``CANCEL`` when somebody else has answered."""


@attrs.frozen
class MemberAnswered:
    """A member and the caller hear each other."""

    member: QueueMember
    waited: float
    """For how many seconds the caller had been there; at most, where an outage came just before."""


class QueueEnd(StrEnum):
    """How the way of a call through a queue has ended."""

    COMPLETED = "completed"
    """A member has answered, and that conversation is over."""
    ABANDONED = "abandoned"
    """It was hung up before anybody had answered."""
    UNANSWERED = "unanswered"
    """The queue has given it up, and it was hung up; ``status`` says why."""
    CAME_BACK = "came-back"
    """It has come back to the application, where it is a new call; ``status`` says why."""
    LEFT = "left"
    """It has gone on elsewhere in the dialplan: the caller has pressed a key for that, or somebody sent it there."""
    UNKNOWN = "unknown"
    """It ended, or was answered or not, while there was no connection to Asterisk, or that is gone for good."""


@attrs.frozen
class QueueOutcome:
    """How it has ended, once and for all."""

    end: QueueEnd
    status: str
    """What ``Queue()`` says in ``QUEUESTATUS`` of one that it has let go: ``TIMEOUT``, ``FULL``, ``JOINEMPTY``,
    ``LEAVEEMPTY``, ``JOINUNAVAIL``, ``LEAVEUNAVAIL``, ``WITHDRAW``; ``CONTINUE`` when the member has hung up first, and
    the options have a ``c``. ``""`` of all others."""
    answered_by: QueueMember | None
    waited: float
    """For how many seconds it was there before it was answered, or until the end where nobody did; seen from here, and
    at most so long where that was while there was no connection to Asterisk."""
    talked: float | None
    """For how many seconds it was answered; 0.0 where nobody did, and ``None`` where it is not known when, or
    whether, it was answered, or when it has ended."""
    cause: int
    """The Q.850 cause of the hangup; 0 where there was none, or nobody said."""
