"""One Stasis application on one Asterisk, and the link that carries it at the moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import attrs

from ..ari.messages import Link, LinkAlive, LinkClosed, LinkMessage, LinkOpened, RequestFailed
from ..call import CallMachine
from ..call.outage import MAX_REPEATS
from ..errors import LocalProtocolError, RequestNotSent, RequestOutcomeUnknown
from ..stasis import ProbeLink, SendRequest, StasisMachine

__all__ = ["Registration"]

MAX_WAITING = 1000
"""Requests that wait to be sent: for each call, and for all that is no call's, calls that are being placed among it.
What exceeds them fails with ``RequestNotSent``."""
MAX_QUEUE = 100
"""How many of them a link is given before their turn. It would refuse very many, whosever they are."""


@attrs.frozen
class _Waiting:
    """What waits to be sent, and the call that it counts for."""

    command: SendRequest
    owner: CallMachine | None


class Registration:
    """An application outlives its link where Asterisk connects again. What is to be sent meanwhile waits.

    ``asterisk_id`` says which Asterisk it is on, where there can be several. ``observe`` is shown each request as it is
    asked for.
    """

    def __init__(self, stasis: StasisMachine, *, observe: Callable[[object], None], asterisk_id: str = "") -> None:
        self.stasis = stasis
        self.asterisk_id = asterisk_id
        self.lost_until: float | None = None
        """When its calls are given up, unless there is a link again."""
        self.call_expected_until: float | None = None
        """Until when the call may come that this application is for; ``None`` once it has, or if it is for many."""
        self._is_over = False
        self._refuses = False  # calls are kept no longer without a link, and nothing waits for one
        self._repeats: dict[str, int] = {}
        self._is_of_one_call: bool | None = None
        self._link: Link | None = None
        self._urgent: dict[str, SendRequest] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._waiting_for = Counter[CallMachine | None]()
        self._observe = observe

    def __repr__(self) -> str:
        return f"<Registration of {self.stasis.app_name!r}{'' if self._link is not None else ', no link'}>"

    @property
    def link(self) -> Link | None:
        """The link that carries it, if there is one."""
        return self._link

    @property
    def requests_waiting(self) -> int:
        """How many requests wait to be sent: for another link, or for their turn on this one."""
        here = len(self._urgent) + len(self._waiting)
        return here + (self._link.requests_waiting if self._link is not None else 0)

    def name_for(self, call: CallMachine) -> str:
        """The application's name in the dialplan. On a socket per call ARI calls it ``app:channel name``."""
        channel = call.channel
        return self.stasis.app_name if channel is None else self.stasis.app_name.removesuffix(f":{channel.name}")

    @property
    def is_of_one_call(self) -> bool:
        """Whether it is that of a socket per call: what is asked for on it lasts no longer than that call.

        Until a call has come it only looks like one: any name may have a colon.
        """
        return ":" in self.stasis.app_name if self._is_of_one_call is None else self._is_of_one_call

    def has_call(self, call: CallMachine) -> None:
        """A call has come, or was found: whose channel names the application, if that is for it alone."""
        self.call_expected_until = None
        if self._is_of_one_call is None and call.channel is not None:
            self._is_of_one_call = self.stasis.app_name.endswith(f":{call.channel.name}")

    def attach(self, link: Link) -> None:
        """This link carries it from here on."""
        self._link = link
        self.lost_until = None
        self._refuses = False

    def lose(self, messages: Iterable[LinkMessage], now: float, *, until: float) -> None:
        """The link has ended, with these last messages; another is hoped for ``until`` then.

        Of the requests that come back with it, those that have not left us, and those that only ask, wait for that
        other link. What became of the rest is for their owners to find out.
        """
        self._link = None
        self.lost_until = until
        last = [*messages]
        for message in last:
            if not isinstance(message, RequestFailed | LinkAlive | LinkClosed):
                self.stasis.receive(message, now)
        self.stasis.link_lost(now)
        self._repeats = {id: n for id, n in self._repeats.items() if self.stasis.request_under_way(id) is not None}
        self.take_last([message for message in last if isinstance(message, RequestFailed)], now)

    def take_last(self, messages: Iterable[LinkMessage], now: float) -> None:
        """What a link has still to report that carries the application no more."""
        waiting, self._waiting = self._waiting, {}
        for message in messages:
            if isinstance(message, RequestFailed) and (command := self._can_wait(message)) is not None:
                self._add(command, self.stasis.owner_of(command.request_id))
            elif not isinstance(message, LinkOpened | LinkAlive | LinkClosed):
                self.stasis.receive(message, now)
        self._waiting |= waiting  # what comes back has waited longer

    def _can_wait(self, failed: RequestFailed) -> SendRequest | None:
        """What is to be sent again. There has been room for it before, so it is never too much."""
        request = self.stasis.request_under_way(failed.request_id)
        if request is None:
            return None
        only_asks = request.method == "GET" and isinstance(failed.error, RequestOutcomeUnknown)
        if not only_asks and not isinstance(failed.error, RequestNotSent):
            return None
        if only_asks:
            repeats = self._repeats.get(failed.request_id, 0) + 1
            if repeats > MAX_REPEATS:
                return None
            self._repeats[failed.request_id] = repeats
            self.stasis.counters.requests_unknown += 1
            self.stasis.counters.requests_repeated += 1
        return SendRequest(failed.request_id, request)

    def send_commands(self, now: float) -> bool:
        """Send what there is to be sent, or let it wait; whether there was anything."""
        commands = self.stasis.commands_to_send()
        for command in commands:
            if isinstance(command, SendRequest):
                self._observe(command.request)
                if self._is_over or self._refuses:
                    self._refuse(command, now)
                elif command.at_once:
                    self._urgent[command.request_id] = command
                elif (link := self._link_for(command)) is not None:
                    self._send(link, command, now)
                else:
                    self._wait(command, now)
            elif isinstance(command, ProbeLink):
                if self._link is not None:
                    self._link.probe(now)
            else:
                self._withdraw(command.request_id, now)
        return self._send_waiting(now) or bool(commands)

    def _link_for(self, command: SendRequest) -> Link | None:
        """The link, if this need not wait: a hangup, or a stop, waits behind nothing but its like."""
        if self._link is None or self.stasis.is_resyncing:
            return None
        if command.request.method == "DELETE":
            return self._link if self._link.requests_waiting < 2 * MAX_QUEUE else None
        has_room = self._link.requests_waiting < MAX_QUEUE
        return self._link if has_room and not (self._waiting or self._urgent) else None

    def _send_waiting(self, now: float) -> bool:
        """As much as the link soon sends, in order: what is asked at once; the rest as soon as there is a link, and it
        is known which calls have lived to see it.
        """
        link = self._link
        moved = False
        while link is not None and link.requests_waiting < MAX_QUEUE:
            if self._urgent:
                command = self._urgent.pop(next(iter(self._urgent)))
            elif self._waiting and not self.stasis.is_resyncing:
                command = self._take(next(iter(self._waiting))).command
            else:
                break
            moved = True
            self._send(link, command, now)
        return moved

    def _send(self, link: Link, command: SendRequest, now: float) -> None:
        self.stasis.counters.requests_sent += 1
        try:
            link.send_request(command.request_id, command.request, now)
        except LocalProtocolError as error:  # a value that JSON cannot carry: whoever gave it is told, and nobody else
            self.stasis.receive(RequestFailed(command.request_id, error), now)

    def _wait(self, command: SendRequest, now: float) -> None:
        owner = self.stasis.owner_of(command.request_id)
        if self._waiting_for[owner] < MAX_WAITING:
            self._add(command, owner)
        else:
            of_call = "" if owner is None else f" of call {owner.id}"
            error = RequestNotSent(f"{MAX_WAITING} requests{of_call} wait to be sent already")
            self.stasis.receive(RequestFailed(command.request_id, error), now)

    def _add(self, command: SendRequest, owner: CallMachine | None) -> None:
        self._waiting[command.request_id] = _Waiting(command, owner)
        self._waiting_for[owner] += 1

    def _take(self, request_id: str) -> _Waiting:
        taken = self._waiting.pop(request_id)
        self._waiting_for[taken.owner] -= 1
        if not self._waiting_for[taken.owner]:
            del self._waiting_for[taken.owner]
        return taken

    def _withdraw(self, request_id: str, now: float) -> None:
        if request_id in self._waiting:
            self._take(request_id)
            was_sent = request_id in self._repeats
        elif self._urgent.pop(request_id, None) is not None:
            was_sent = False
        else:
            was_sent = self._link is None or self._link.withdraw_request(request_id, now)
        self.stasis.withdrawn(request_id, now, was_sent=was_sent)

    def give_up(self, now: float) -> None:
        """There will be no other link in time: its calls have ended, and what waited was not sent."""
        self.lost_until = None
        self._refuses = True
        waiting = [*self._urgent.values(), *(each.command for each in self._waiting.values())]
        self._urgent.clear()
        self._waiting.clear()
        self._waiting_for.clear()
        for command in waiting:
            self._refuse(command, now)
        self.stasis.close(now)

    def end(self, now: float) -> None:
        """There will be no other link at all: what is asked for from here on is not sent either."""
        self._is_over = True
        self.give_up(now)

    def _refuse(self, command: SendRequest, now: float) -> None:
        error = RequestNotSent(f"Asterisk's connection for the application {self.stasis.app_name!r} is gone")
        self.stasis.receive(RequestFailed(command.request_id, error), now)
