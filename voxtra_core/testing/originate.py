"""``POST /channels``: making channels that reach out (``ari_channels_handle_originate_with_id``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import attrs

from .channels import APP_DIAL, Channel, Party, Place
from .dialing import Attempt
from .lines import DirectLine
from .local_line import LocalLine
from .rest import Parameters, atoi, refuse

if TYPE_CHECKING:
    from .exchange import Exchange

__all__ = ["Origination", "endpoint_key"]

_LONGEST_ID: Final = 149
_DEFAULT_TIMEOUT: Final = 30


def endpoint_key(endpoint: str) -> str:
    """An endpoint without the options that say how a Local channel behaves: ``Local/x@far/n`` is ``Local/x@far``."""
    tech, _, resource = endpoint.partition("/")
    return f"{tech}/{resource.partition('/')[0]}" if tech == "Local" else endpoint


@attrs.frozen
class Origination:
    """One request to originate: read and checked first, then done."""

    exchange: Exchange
    endpoint: str
    answered: Callable[[Channel], None]
    """Where the channel goes when somebody picks up."""
    app: str
    caller: Party
    timeout: float | None
    channel_id: str
    other_id: str
    variables: dict[str, str]

    @classmethod
    def read(cls, exchange: Exchange, channel_id: str, parameters: Parameters) -> Origination:
        """Check a request in the order in which Asterisk does. Raises :class:`~.rest.Refused`."""
        other_id = parameters.text("otherChannelId") or ""
        endpoint = parameters.text("endpoint")
        if len(channel_id) > _LONGEST_ID or len(other_id) > _LONGEST_ID:
            raise refuse(400, f"Uniqueid length exceeds maximum of {_LONGEST_ID}")
        if not endpoint:
            raise refuse(400, "Endpoint must be specified")
        originator = parameters.text("originator")
        if originator and parameters.text("formats"):
            raise refuse(400, "Originator and formats can't both be specified")
        tech, _, resource = endpoint.partition("/")
        if not tech or not resource:
            raise refuse(400, "Invalid endpoint specified")
        variables = parameters.variables()
        answered = _destination(exchange, parameters)
        if originator and originator not in exchange.channels:
            raise refuse(400, "Provided originator channel was not found")
        if tech != "Local" and endpoint_key(endpoint) not in exchange.callees:
            raise refuse(500, "Allocation failed", key="error")
        taken = {*exchange.channels, channel_id} if channel_id else exchange.channels.keys()
        if channel_id in exchange.channels or other_id in taken:
            raise refuse(409, "Channel with given unique ID already exists")
        timeout = parameters.number("timeout", 0) or _DEFAULT_TIMEOUT
        return cls(
            exchange,
            endpoint,
            answered,
            app=parameters.text("app") or "",
            caller=Party.parse(parameters.text("callerId") or ""),
            timeout=None if timeout < 0 else timeout,
            channel_id=channel_id,
            other_id=other_id,
            variables=variables,
        )

    def make(self) -> Channel:
        """Create the channel. Dialling begins when what runs now has ended."""
        tech, _, resource = self.endpoint.partition("/")
        number = self.exchange.next_call_number()
        half = None
        if tech == "Local":
            exten, _, context = resource.partition("/")[0].partition("@")
            channel = self._add(f"Local/{exten}@{context or 'default'}-{number};1", context or "default", exten, "")
            half_id = self.other_id or (f"{channel.id};2" if self.channel_id else self.exchange.new_channel_id())
            place = attrs.evolve(channel.place, app="", data="")
            half = self.exchange.add_channel(half_id, f"{channel.name[:-1]}2", "Ring", place)
        else:
            # PJSIP/bob, PJSIP/5550100@trunk and PJSIP/trunk/sip:5550100@example.com
            name, has_address, _ = resource.partition("/")
            peer = name if has_address else name.partition("@")[2] or name
            channel = self._add(
                f"{tech}/{peer}-{number}",
                self.exchange.contexts[endpoint_key(self.endpoint)],
                "s",
                self.exchange.new_id(),
            )
        # Before anybody is subscribed: the request's own variables are no events on this channel.
        for name, value in self.variables.items():
            self.exchange.set_variable(channel, name, value)
        if (app := self.exchange.applications.get(self.app)) is not None:
            for each in (channel, half):
                if each is not None:
                    app.subscribe(each.id)
        self.exchange.agenda.after(0, lambda: self._dial(channel, half, resource))
        return channel

    def _add(self, name: str, context: str, exten: str, protocol_id: str) -> Channel:
        return self.exchange.add_channel(
            self.channel_id or self.exchange.new_channel_id(),
            name,
            "Down",
            Place(context, exten, 1, *APP_DIAL),
            caller=self.caller,
            connected=self.caller,
            launcher=APP_DIAL,
            protocol_id=protocol_id,
        )

    def _dial(self, channel: Channel, half: Channel | None, resource: str) -> None:
        callee = self.exchange.callees.get(endpoint_key(self.endpoint))
        if callee is None:
            self._fail(channel, half)
            return
        person = self.exchange.add_person(callee)
        if half is None:
            DirectLine(self.exchange, channel, person)
        else:
            LocalLine(self.exchange, channel, person, half)
            self._inherit(channel, half)
        attempt = Attempt(self.exchange, channel, resource, lambda: self.answered(channel), self.timeout)
        attempt.begin()
        person.act()

    def _inherit(self, channel: Channel, half: Channel) -> None:
        """The second half takes over variables and caller, which is seen."""
        for name, value in self.variables.items():
            if not name.endswith(")"):
                self.exchange.set_variable(half, name, value)
        if self.caller != Party():
            half.caller, half.connected = self.caller, channel.caller
            self.exchange.publish_caller_id(half)
            self.exchange.publish(half, "ChannelConnectedLine")

    def _fail(self, channel: Channel, half: Channel | None) -> None:
        """No such extension: both halves go, without a word about dialling."""
        if half is not None:
            half.dialplan_ended = True
            self.exchange.destroy(half)
        self.exchange.destroy(channel)


def _destination(exchange: Exchange, parameters: Parameters) -> Callable[[Channel], None]:
    """``app``, or else a place in the dialplan."""
    app, extension = parameters.text("app"), parameters.text("extension")
    if app:
        args = (parameters.text("appArgs") or "").split(",") if parameters.text("appArgs") else []
        return lambda channel: exchange.enter_stasis(channel, app, args)
    if not extension:
        raise refuse(400, "Application or extension must be specified")
    label = parameters.text("label")
    if label and not label.isdecimal():
        raise refuse(404, "Requested label can not be found")
    context = parameters.text("context") or "default"
    priority = (atoi(label) if label else parameters.number("priority", 0)) or 1
    return lambda channel: exchange.enter_dialplan(channel, context, extension, priority)
