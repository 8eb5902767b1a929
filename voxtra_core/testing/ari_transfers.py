"""``/channels/{channelId}/redirect`` and ``/transfer_progress`` (``res/ari/resource_channels.c``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .ari_channels import in_stasis
from .rest import NO_CONTENT, Handler, Reply, RestRequest, refuse
from .transfers import STATES, Redirect

if TYPE_CHECKING:
    from .exchange import Exchange

__all__ = ["transfer_handlers"]


def transfer_handlers(exchange: Exchange) -> Mapping[tuple[str, str], Handler]:
    """By method and path."""

    def redirect(request: RestRequest) -> Reply:
        channel, control = in_stasis(exchange, request)
        endpoint = request.parameters.text("endpoint")
        if not endpoint:
            raise refuse(400, "Required parameter 'endpoint' not provided.", reason="Not Found")
        tech, slash, resource = endpoint.partition("/")
        if not slash:
            raise refuse(422, f"Endpoint parameter '{endpoint}' does not contain tech/resource")
        if not resource:
            raise refuse(422, f"No resource provided in endpoint parameter '{endpoint}'")
        own = channel.name.partition("/")[0]
        if tech.lower() != own.lower():
            raise refuse(422, f"Endpoint technology '{tech}' does not match channel technology '{own}'")
        control.enqueue(Redirect(channel, resource))
        return NO_CONTENT

    def report(request: RestRequest) -> Reply:
        channel, _ = in_stasis(exchange, request)
        states = request.parameters.text("states")
        if not states:
            raise refuse(400, "states must not be empty")
        if states not in STATES:
            raise refuse(400, "Invalid states value")
        if (referral := channel.referral) is not None:
            exchange.agenda.after(0, lambda: referral.report(states))
        return NO_CONTENT

    one = "/channels/{channelId}"
    return {("POST", f"{one}/redirect"): redirect, ("POST", f"{one}/transfer_progress"): report}
