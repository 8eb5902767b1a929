"""What a call's command is in ARI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from ..ari import Request, bridges, channels, playbacks
from ..call.cause import REASON_CAUSES, HangupReason
from ..call.commands import (
    Answer,
    AskChannel,
    AskLink,
    AskPlayback,
    Command,
    Continue,
    ControlPlayback,
    DetectTalking,
    FollowBridge,
    GetVariable,
    Hangup,
    JoinBridge,
    LeaveBridge,
    OpenMedia,
    Originate,
    Play,
    Redirect,
    Ring,
    SendDtmf,
    SetVariable,
    Snoop,
    StartMusic,
    StopDetectingTalking,
    StopMusic,
    StopPlayback,
    Withdraw,
)

__all__ = ["playback_request_for", "request_for"]

_NAMED: Mapping[int, HangupReason] = {cause: reason for reason, cause in REASON_CAUSES.items()}
"""Asterisk before 17 knows no ``reason_code``, and takes a cause by ARI's name for it only: the others become 16."""


def request_for(command: Command, app_name: str) -> Request[Any] | None:
    """The request that carries a command out; ``None`` for what is no single request."""
    channel = command.channel_id
    match command:
        case Originate():
            return channels.originate(
                endpoint=command.endpoint,
                app=app_name,
                app_args=command.arguments,
                caller_id=command.caller_id,
                timeout=command.timeout,
                variables=command.variables or None,
                formats=command.formats,
                channel_id=channel,
            )
        case Answer():
            return channels.answer(channel)
        case Ring():
            return channels.ring(channel)
        case Hangup():
            reason = _NAMED.get(command.reason) if isinstance(command.reason, int) else command.reason
            if reason is None:
                return channels.hangup(channel, reason_code=command.reason)
            return channels.hangup(channel, reason=reason)
        case StartMusic():
            return channels.start_moh(channel, moh_class=command.moh_class)
        case StopMusic():
            return channels.stop_moh(channel)
        case Play():
            return channels.play(
                channel,
                media=command.media,
                lang=command.language,
                offsetms=command.offset_ms or None,
                skipms=command.skip_ms,
                playback_id=command.playback_id,
            )
        case StopPlayback() | ControlPlayback() | AskPlayback():
            return playback_request_for(command)
        case AskChannel():
            return channels.get(channel)
        case SendDtmf():
            return channels.send_dtmf(
                channel,
                dtmf=command.digits,
                before=command.before,
                between=command.between,
                duration=command.duration,
                after=command.after,
            )
        case GetVariable():
            return channels.get_channel_var(channel, variable=command.name)
        case SetVariable():
            return channels.set_channel_var(channel, variable=command.name, value=command.value)
        case DetectTalking():
            value = f"{command.silence_ms},{command.threshold}"
            return channels.set_channel_var(channel, variable="TALK_DETECT(set)", value=value)
        case StopDetectingTalking():
            return channels.set_channel_var(channel, variable="TALK_DETECT(remove)", value="")
        case Snoop():
            return channels.snoop_channel_with_id(
                command.target_id, channel, app=app_name, spy=command.spy, whisper=command.whisper
            )
        case Continue():
            return channels.continue_in_dialplan(
                channel, context=command.context, extension=command.extension, priority=command.priority
            )
        case Redirect():
            return channels.redirect(channel, endpoint=_elsewhere(command.endpoint))
        case JoinBridge():
            return bridges.add_channel(
                command.bridge_id,
                channel=[channel],
                absorb_dtmf=command.absorb_dtmf or None,
            )
        case LeaveBridge():
            return bridges.remove_channel(command.bridge_id, channel=[channel])
        case OpenMedia() | FollowBridge() | Withdraw() | AskLink():
            return None
        case _ as unreachable:
            assert_never(unreachable)


def playback_request_for(command: StopPlayback | ControlPlayback | AskPlayback) -> Request[Any]:
    """The same for a playback, whatever it is played to."""
    match command:
        case StopPlayback():
            return playbacks.stop(command.playback_id)
        case ControlPlayback():
            return playbacks.control(command.playback_id, operation=command.control)
        case AskPlayback():
            return playbacks.get(command.playback_id)


def _elsewhere(endpoint: str) -> str:
    """Where a far end is to go: to the URI alone, of one whom we would dial by way of an endpoint of ours."""
    technology, _, resource = endpoint.partition("/")
    _, slash, uri = resource.partition("/")
    return f"{technology}/{uri}" if slash and uri.startswith(("sip:", "sips:")) else endpoint
