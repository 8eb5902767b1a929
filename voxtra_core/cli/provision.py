"""``provision``: the configuration that Asterisk needs, printed."""

from __future__ import annotations

import argparse
import re
from urllib.parse import urlsplit

from ..ari import check
from ..queueing import CAME_FROM, CONTEXT, Variable

__all__ = ["DESCRIPTION", "add_arguments", "text_for"]

DESCRIPTION = """\
Prints the dialplan that hands the calls to an extension to an application, for Asterisk's extensions.conf. It survives
the application being away: Stasis() is tried again for some seconds, so that a caller who comes while the application
restarts, or has lost its connection, is handled when it is back. Callers that are not answered yet hear ringing
meanwhile. When it is not back in time, they get what --fallback says.

With --queues, the context through which call.transfer_to_queue() hands a call to a queue of Asterisk's, once for all
applications; without --extension nothing but that.

With --ari, also http.conf and ari.conf, with a user for the application; with --listen, also ari.conf and
websocket_client.conf for an Asterisk that connects to the application. Nothing is changed anywhere, and a password that
is not given is left for you to fill in.
"""

PLACEHOLDER = "CHANGE-THIS"
"""Stands where a password has to."""
LONGEST_RETRY = 3600
"""Seconds: nobody waits on the telephone for longer, and ``EPOCH`` counts whole ones."""
LONGEST_NAME = 79
"""Bytes of a context or an extension (``AST_MAX_CONTEXT``, ``AST_MAX_EXTENSION``, which count a NUL)."""

_EXTENSION = re.compile(r"[A-Za-z0-9_*#+.!\[\]-]+")
_CONTEXT = re.compile(r"[A-Za-z0-9_.-]+")
_APP_NAME = re.compile(r"[^\s;$(){}\[\]|]+")
_WORD = re.compile(r"[!-:<-Z\\^-~]+")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("--app", metavar="NAME", default="voxtra", help="the Stasis application (default: voxtra)")
    parser.add_argument("--extension", metavar="EXTEN", help="the extension or the pattern, such as 100 or _1XX")
    parser.add_argument(
        "--context", metavar="CTX", default="from-phones", help="the context it is in (default: from-phones)"
    )
    parser.add_argument(
        "--retry",
        metavar="SECONDS",
        type=int,
        default=10,
        help="how long to try again while the application is away (default: 10)",
    )
    parser.add_argument(
        "--fallback",
        metavar="APPLICATION",
        default="Congestion(10)",
        help="what a caller gets then, of the dialplan's applications (default: Congestion(10))",
    )
    parser.add_argument("--queues", action="store_true", help="also what call.transfer_to_queue() needs")
    parser.add_argument("--ari", action="store_true", help="also http.conf and ari.conf, to connect to Asterisk")
    parser.add_argument(
        "--listen", metavar="URL", help="also what lets Asterisk connect to you, such as to ws://10.0.0.5:8090/"
    )
    parser.add_argument(
        "--per-call", action="store_true", help="with --listen: a connection for each call, and not one for all"
    )
    parser.add_argument("--user", metavar="NAME", default="voxtra", help="the application's user (default: voxtra)")
    parser.add_argument("--password", metavar="WORD", help="and its password (default: left for you to fill in)")


def text_for(arguments: argparse.Namespace) -> str:
    """What to print. ``ValueError`` for an option that cannot be right, saying which and why."""
    check.app_name("--app", arguments.app)
    _require(_APP_NAME, "--app", arguments.app, "a space, a semicolon, a dollar sign, a bar, or a bracket")
    if arguments.extension is None and not arguments.queues:
        raise ValueError("--extension says which calls are the application's; without it, --queues prints something")
    extension = arguments.extension if arguments.extension is not None else "s"
    _require(_EXTENSION, "--extension", extension, "anything but A-Z a-z 0-9 _ * # + - . ! [ ]")
    _require(_CONTEXT, "--context", arguments.context, "anything but A-Z a-z 0-9 _ - .")
    _require(_WORD, "--user", arguments.user, "a space, a semicolon, or a bracket")
    password = PLACEHOLDER if arguments.password is None else arguments.password
    if not _WORD.fullmatch(password):
        raise ValueError("--password must not be empty, nor contain a space, a semicolon, or a bracket")
    if arguments.user in {"general", _section(arguments.app)}:
        raise ValueError(f"--user must not be {arguments.user!r}: a section of ari.conf has that name")
    if ":" in arguments.user:
        raise ValueError("an ARI user's name cannot contain a colon (RFC 7617)")
    for option, name in (("--extension", extension), ("--context", arguments.context)):
        if len(name) > LONGEST_NAME:
            raise ValueError(f"{option} must not be longer than {LONGEST_NAME} characters")
    if not 1 <= arguments.retry <= LONGEST_RETRY:
        raise ValueError(f"--retry must be 1 to {LONGEST_RETRY} seconds, not {arguments.retry}")
    if not arguments.fallback or re.search(r"[;\r\n]", arguments.fallback):
        raise ValueError("--fallback must be one application of the dialplan, such as VoiceMail(100), without a ;")
    if arguments.per_call and arguments.listen is None:
        raise ValueError("--per-call goes with --listen")
    contexts = []
    if arguments.extension is not None:
        contexts.append(_dialplan(arguments.app, extension, arguments.context, arguments.retry, arguments.fallback))
    if arguments.queues:
        contexts.append(_queues(arguments.retry, arguments.fallback))
    parts = ["; extensions.conf\n" + "\n".join(contexts)]
    if arguments.ari:
        parts.append(_HTTP)
    if arguments.ari or arguments.listen is not None:
        parts.append(_ari_user(arguments.user, password))
    if arguments.listen is not None:
        parts.append(_outbound(arguments.app, arguments.user))
        parts.append(_client(arguments.app, arguments.listen, arguments.per_call, arguments.user, password))
    return "\n".join(parts)


def _require(pattern: re.Pattern[str], option: str, value: str, never: str) -> None:
    if not pattern.fullmatch(value):
        raise ValueError(f"{option} must not be empty, nor contain {never}: {value!r}")


def _dialplan(app: str, extension: str, context: str, retry: int, fallback: str) -> str:
    return f"""\
[{context}]
exten => {extension},1,Set(VOXTRA_UNTIL=)
{_stasis(app, retry, fallback)}"""


def _queues(retry: int, fallback: str) -> str:
    """All it is to do comes with the channel: a variable's value is not evaluated once more, whatever it holds.

    ``Queue()`` answers nobody by itself, and says nothing in ``QUEUESTATUS`` of a queue that is gone meanwhile.
    """
    come_back = f"${{{Variable.APP}}},{CAME_FROM},${{QUEUESTATUS}},${{{Variable.QUEUE}}},${{{Variable.CALLED}}}"
    return f"""\
[{CONTEXT}]
exten => s,1,Set(QUEUESTATUS=)
 same => n,ExecIf($["${{CHANNEL(state)}}" != "Up"]?Ringing())
 same => n,Queue(${{{Variable.QUEUE}}},${{{Variable.OPTIONS}}},,,${{{Variable.TIMEOUT}}})
 same => n,GotoIf(${{{Variable.BACK}}}?:done)
 same => n,Set(VOXTRA_UNTIL=)
{_stasis(come_back, retry, fallback)}"""


def _stasis(arguments: str, retry: int, fallback: str) -> str:
    """The loop. Its end is set when ``Stasis()`` fails for the first time, and not again.

    ``STASISSTATUS`` is FAILED where nobody is connected under that name, at once; and where Asterisk connects for each
    call, also when nobody answers, or when that connection broke under a call and did not come back. Such a caller has
    been talking, perhaps for hours: it is tried for as long as another, as a new call.
    """
    return f"""\
 same => n(try),Stasis({arguments})
 same => n,GotoIf($["${{STASISSTATUS}}" != "FAILED"]?done)
 same => n,ExecIf($["${{VOXTRA_UNTIL}}" = ""]?Set(VOXTRA_UNTIL=$[${{EPOCH}} + {retry}]))
 same => n,GotoIf($[${{EPOCH}} >= ${{VOXTRA_UNTIL}}]?away)
 same => n,ExecIf($["${{CHANNEL(state)}}" != "Up"]?Ringing())
 same => n,Wait(1)
 same => n,Goto(try)
 same => n(away),{fallback}
 same => n(done),Hangup()
"""


_HTTP = """\
; http.conf
[general]
enabled = yes
bindaddr = 127.0.0.1
bindport = 8088
"""


def _ari_user(user: str, password: str) -> str:
    return f"""\
; ari.conf
[general]
enabled = yes

[{user}]
type = user
read_only = no
password = {password}
"""


def _section(app: str) -> str:
    return f"voxtra-{app}"


def _outbound(app: str, user: str) -> str:
    return f"""\
[{_section(app)}]
type = outbound_websocket
websocket_client_id = {_section(app)}
apps = {app}
local_ari_user = {user}
"""


def _client(app: str, url: str, per_call: bool, user: str, password: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"ws", "wss"} and parts.hostname and parts.username is None and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not _WORD.fullmatch(url):
        raise ValueError("--listen must look like ws://10.0.0.5:8090/ or wss://voice.example.com/, without a user")
    lines = f"""\
; websocket_client.conf
[{_section(app)}]
type = websocket_client
connection_type = {"per_call_config" if per_call else "persistent"}
uri = {url}
protocols = ari
username = {user}
password = {password}
"""
    return lines + "tls_enabled = yes\n" if url.startswith("wss:") else lines
