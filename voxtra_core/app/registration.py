"""One Stasis application on one Asterisk, and the link that carries it at the moment."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ..ari.messages import Link, LinkMessage, RequestFailed
from ..call import CallMachine
from ..errors import LocalProtocolError, RequestNotSent
from ..stasis import SendRequest, StasisMachine

__all__ = ["Registration"]

MAX_WAITING = 1000
"""Requests that wait for the next link; what exceeds them fails with ``RequestNotSent``."""


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
        self._is_of_one_call: bool | None = None
        self._link: Link | None = None
        self._waiting: deque[SendRequest] = deque()
        self._observe = observe

    def __repr__(self) -> str:
        return f"<Registration of {self.stasis.app_name!r}{'' if self._link is not None else ', no link'}>"

    @property
    def link(self) -> Link | None:
        """The link that carries it, if there is one."""
        return self._link

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

    def attach(self, link: Link, now: float) -> None:
        """This link carries it from here on; what has waited is sent."""
        self._link = link
        self.lost_until = None
        waiting, self._waiting = self._waiting, deque()
        for command in waiting:
            self._send(link, command, now)

    def detach(self) -> None:
        """No link carries it; what is to be sent waits."""
        self._link = None

    def receive(self, message: LinkMessage, now: float) -> None:
        """Something that a link of this application reports."""
        self.stasis.receive(message, now)

    def send_commands(self, now: float) -> bool:
        """Send what there is to be sent; whether there was anything."""
        commands = self.stasis.commands_to_send()
        for command in commands:
            if isinstance(command, SendRequest):
                self._observe(command.request)
                if self._is_over:
                    self._refuse(command, now)
                elif self._link is not None:
                    self._send(self._link, command, now)
                else:
                    self._wait(command, now)
            elif self._link is not None:
                self._link.withdraw_request(command.request_id, now)
            else:
                self._waiting = deque(other for other in self._waiting if other.request_id != command.request_id)
        return bool(commands)

    def _send(self, link: Link, command: SendRequest, now: float) -> None:
        try:
            link.send_request(command.request_id, command.request, now)
        except LocalProtocolError as error:  # a value that JSON cannot carry: whoever gave it is told, and nobody else
            self.stasis.receive(RequestFailed(command.request_id, error), now)

    def _wait(self, command: SendRequest, now: float) -> None:
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append(command)
        else:
            error = RequestNotSent(f"{MAX_WAITING} requests wait for Asterisk to connect again")
            self.stasis.receive(RequestFailed(command.request_id, error), now)

    def give_up(self, now: float) -> None:
        """There will be no other link: its calls have ended, and what waited, or is asked for yet, is not sent."""
        self._is_over = True
        waiting, self._waiting = self._waiting, deque()
        for command in waiting:
            self._refuse(command, now)
        self.stasis.close(now)

    def _refuse(self, command: SendRequest, now: float) -> None:
        error = RequestNotSent(f"Asterisk's connection for the application {self.stasis.app_name!r} is gone")
        self.stasis.receive(RequestFailed(command.request_id, error), now)
