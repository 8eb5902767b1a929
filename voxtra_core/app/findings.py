"""What ``check`` says: what each thing that can happen on the way to Asterisk means, and how it is mended.

Nothing in here repeats what a server has sent, but for the number of its release: whatever answers there has been told
the password.
"""

from __future__ import annotations

from typing import TypeVar

import attrs

from ..ari import AsteriskInfo, DeviceState, Module, Request
from ..diagnosis import Diagnosis, is_aris, not_asterisk, place
from ..errors import RemoteProtocolError
from .options import Options
from .versions import Feature, Version

__all__ = [
    "Answer",
    "Finding",
    "about_application",
    "about_extension",
    "about_listening",
    "about_modules",
    "about_rights",
    "about_server",
    "about_version",
    "fault",
    "no_user",
    "not_looked_at",
    "version_in",
]

T = TypeVar("T")


@attrs.frozen
class Finding:
    """One thing that was found out: it is as it should be, or it is not, and can be mended."""

    ok: bool
    what: str
    mend: str = ""
    """What to do about it; ``""`` where nothing is to be done."""

    def __str__(self) -> str:
        """One line, without ``ok``."""
        return f"{self.what} – {self.mend}" if self.mend else self.what


@attrs.frozen
class Answer:
    """A response to a request of ours."""

    status: int
    body: bytes = attrs.field(repr=lambda body: f"<{len(body)} bytes>")

    @property
    def is_aris(self) -> bool:
        """Whether this is a refusal in ARI's way."""
        return is_aris(self.body)


def no_user() -> Finding:
    """Nobody has said who we are."""
    return Finding(False, "no ARI user is given", "name one of Asterisk's ari.conf, with its password")


def about_listening(host: str, port: int, failure: str | None, *, encrypted: bool) -> Finding:
    """Whether this address can be listened on: ``failure`` is why it cannot."""
    where = f"{place(host, port)}{' with TLS' if encrypted else ''}"
    if failure is None:
        return Finding(True, f"it can listen on {where}")
    mend = "is the address one of this machine's, and may this user listen on that port?"
    if failure == "address already in use":
        mend = "end the program that listens there, or give another port, here and as uri in websocket_client.conf"
    return Finding(False, f"it cannot listen on {where}: {failure}", mend)


def not_looked_at() -> Finding:
    """Asterisk connects to us, and nobody has said where its ARI is."""
    return Finding(
        True,
        "whether Asterisk connects there, only `ari show outbound-websockets` on its console can tell; whether it can, "
        "--ari-url with --user and --password lets this check ask",
    )


def fault(diagnosis: Diagnosis) -> Finding:
    """There was no answer, or none of Asterisk's."""
    return Finding(False, diagnosis.what, diagnosis.mend)


# ---- the first answer: who is there, and does it know us? ------------------------------------------------------------


def version_in(answer: Answer, request: Request[AsteriskInfo]) -> str | None:
    """What Asterisk calls its version, in its answer to ``GET /asterisk/info``; ``None`` if that is no such answer."""
    info = _decoded(answer, request)
    return info.system.version if info is not None and info.system is not None else None


def about_server(options: Options, answer: Answer, version: str | None) -> Finding:
    """What a first answer tells; ``version`` is what :func:`version_in` finds in it."""
    match answer.status:
        case 200 if version is not None:
            release = Version.found_in(version)
            return Finding(True, f"Asterisk {release or 'of an unnamed release'} answers at {options.url}")
        case 401 if answer.is_aris:
            return Finding(
                False,
                f"Asterisk refuses the user {options.user!r} with this password (401)",
                "see the users in its ari.conf; after a change there, `module reload res_ari.so` on its console",
            )
        case 403 if answer.is_aris:
            return Finding(
                False,
                f"Asterisk does not let the user {options.user!r} in from this address (403)",
                "see permit, deny and acl of that user in its ari.conf",
            )
        case 404 if answer.is_aris:
            return Finding(
                False,
                "ARI answers, and has no /asterisk (404)",
                "`module load res_ari_asterisk.so` on Asterisk's console",
            )
        case 404 if b"Asterisk" in answer.body:
            return Finding(
                False,
                f"Asterisk's HTTP server answers, and has no ARI at {options.url} (404)",
                "put the prefix of http.conf into the URL, if it has one; otherwise set enabled=yes in ari.conf and "
                "load res_ari.so",
            )
        case 503 if b"not booted" in answer.body:
            return Finding(False, "Asterisk has not finished booting (503)", "try again in a few seconds")
        case _:
            return fault(not_asterisk(options.url, answer.status))


# ---- the other answers -----------------------------------------------------------------------------------------------


def about_version(version: str, features: tuple[Feature, ...]) -> list[Finding]:
    """Whether an Asterisk with this version has these features."""
    release = Version.found_in(version)
    names = ", ".join(feature.name for feature in features)
    if release is None:
        return [Finding(True, f"whether it is new enough for {names} cannot be told, as it names no release")]
    missing = [feature for feature in features if not feature.works_on(release)]
    return [
        Finding(
            False,
            f"Asterisk {release} is too old for {feature.name}",
            f"upgrade to {_alternatives([str(first) for first in feature.since])}, or to a later series",
        )
        for feature in missing
    ] or [Finding(True, f"it is new enough for {names}")]


def about_rights(options: Options, answer: Answer) -> Finding:
    """Whether we may do more than look: the answer to a ``POST`` about a channel that does not exist.

    Asterisk looks at the rights first (``res_ari.c``), so that it refuses a read-only user with 403, and tells any
    other one, with 404, that there is no such channel.
    """
    match answer.status:
        case 404:
            return Finding(True, f"the user {options.user!r} may write")
        case 403:
            return Finding(
                False,
                f"the user {options.user!r} may only read (403)",
                "set read_only=no for it in ari.conf, and `module reload res_ari.so`",
            )
        case _:
            return _unexpected("a POST", answer, "does a proxy on the way let only GET through?")


def about_modules(answer: Answer, request: Request[tuple[Module, ...]], features: tuple[Feature, ...]) -> list[Finding]:
    """Whether the modules that these features take are loaded."""
    modules = _decoded(answer, request)
    if modules is None:
        return [_unexpected("GET /asterisk/modules", answer, "which modules are loaded cannot be told")]
    running = {module.name.removesuffix(".so") for module in modules if module.status == "Running"}
    found = []
    for feature in features:
        missing = [f"{module}.so" for module in feature.modules if module not in running]
        if missing:
            found.append(
                Finding(
                    False,
                    f"not loaded, and needed for {feature.name}: {', '.join(missing)}",
                    "load them in modules.conf, or with `module load` on Asterisk's console",
                )
            )
    return found or [Finding(True, f"the modules for {', '.join(feature.name for feature in features)} are loaded")]


def about_application(app_name: str, answer: Answer) -> Finding:
    """Whether somebody uses the application's name: the answer to ``GET /applications/{app}``.

    Asterisk keeps an application whose program has gone as long as channels of its are there, and a while longer, and
    tells nobody which of the two it is.
    """
    match answer.status:
        case 404:
            return Finding(True, f"the application's name {app_name!r} is free")
        case 200:
            return Finding(
                False,
                f"the application {app_name!r} is in use, or was a moment ago",
                "end the program that has it, or give this one an app_name of its own: the last to connect gets the "
                "calls",
            )
        case _:
            return _unexpected("GET /applications", answer, "whether the name is free cannot be told")


def about_extension(exten: str, context: str, app_name: str, answer: Answer, request: Request[DeviceState]) -> Finding:
    """Whether the dialplan has an extension: the answer to ``GET /deviceStates/Local%2Fexten%40context``.

    ``chan_local`` calls such a device ``INVALID`` if, and only if, there is no such extension (``core_local.c``). It
    is the only way to ask without making a call. What the extension does, ARI tells in no way at all.
    """
    where = f"{exten}@{context}"
    if context == f"stasis-{app_name}":
        return Finding(True, f"Asterisk itself makes {where}, as soon as the application connects")
    device = _decoded(answer, request)
    if device is None:
        mend = f"whether {where} exists cannot be told; `module load res_ari_device_states.so` may help"
        return _unexpected("GET /deviceStates", answer, mend)
    if device.state == "INVALID":
        return Finding(
            False,
            f"the dialplan has no {where}",
            f"put `exten => {exten},1,Stasis({app_name})` below [{context}] in extensions.conf, and `dialplan reload`",
        )
    return Finding(
        True,
        f"the dialplan has {where}; that it runs Stasis({app_name}) only `dialplan show {where}` on Asterisk's console "
        "can tell",
    )


def _unexpected(asked: str, answer: Answer, mend: str) -> Finding:
    return Finding(False, f"{asked} was answered with status {answer.status}", mend)


def _decoded(answer: Answer, request: Request[T]) -> T | None:
    """What a success says; ``None`` for anything else."""
    try:
        return request.decode(answer.body) if answer.status == 200 else None
    except RemoteProtocolError:
        return None


def _alternatives(items: list[str]) -> str:
    return f"{', '.join(items[:-1])} or {items[-1]}" if len(items) > 1 else items[0]
