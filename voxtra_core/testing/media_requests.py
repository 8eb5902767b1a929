"""What requests to play and to record say, on channels and in bridges alike."""

from __future__ import annotations

from posixpath import dirname, normpath
from typing import TYPE_CHECKING, Final

from .recording import Order
from .rest import Parameters, RestRequest, refuse

if TYPE_CHECKING:
    from .channels import Channel
    from .exchange import Exchange
    from .playback import Playback

__all__ = ["check_name", "order_of", "playback_of"]

_KEYS: Final = "0123456789*#"
_TERMINATORS: Final = {"": "", "none": "", "any": f"{_KEYS}ABCD", **{key: key for key in _KEYS}}
_IF_EXISTS: Final = frozenset({"", "fail", "overwrite", "append"})


def playback_of(exchange: Exchange, channel: Channel, request: RestRequest) -> Playback | None:
    """The playback that is asked for, queued; ``None`` where there is nothing to play, or times are negative."""
    parameters = request.parameters
    media = parameters.texts("media")
    offset, skip = parameters.number("offsetms", 0), parameters.number("skipms", 0) or 3000
    if not media or offset < 0 or skip < 0:
        return None
    return exchange.playbacks.add(
        channel,
        request.ids.get("playbackId") or parameters.text("playbackId") or exchange.new_id(),
        media,
        language=parameters.text("lang") or "en",
        offset=offset / 1000,
        skip=skip / 1000,
    )


def order_of(parameters: Parameters) -> Order:
    """The recording that is asked for. Raises :class:`~.rest.Refused`; name, format and times are not looked at."""
    keys = _TERMINATORS.get(parameters.text("terminateOn") or "")
    if keys is None:
        raise refuse(400, "terminateOn invalid")
    if_exists = parameters.text("ifExists") or "fail"
    if if_exists not in _IF_EXISTS:
        raise refuse(400, "ifExists invalid")
    return Order(
        parameters.text("name") or "",
        parameters.text("format") or "",
        max_duration=parameters.number("maxDurationSeconds", 0),
        max_silence=parameters.number("maxSilenceSeconds", 0),
        replaces=if_exists != "fail",
        appends=if_exists == "append",
        beep=parameters.flag("beep"),
        keys=keys,
    )


def check_name(exchange: Exchange, order: Order) -> None:
    """Names may have folders, but those of the recordings alone (as refused by a 22.10.1); none is there twice."""
    name = order.name
    folder = normpath(dirname(name) or ".")
    if not name or set(folder.split("/")) == {".."}:
        raise refuse(500, "Error parsing request")
    if folder.startswith("../"):
        raise refuse(400, "Recording name invalid")
    recordings = exchange.recordings
    if recordings.live(name) is not None or (not order.replaces and recordings.file(name) is not None):
        raise refuse(409, f"Recording '{name}' already exists and can not be overwritten")
