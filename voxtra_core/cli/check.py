"""``check``: what is wrong with a connection, a line for each finding."""

from __future__ import annotations

import argparse
from typing import Any

from ..app import Backend, BaseApp
from ..app.check import CheckMachine
from ..app.findings import Finding
from ..app.options import DEFAULT_URL, Options, make_options
from ..app.versions import FEATURES
from . import authorities

__all__ = ["DESCRIPTION", "add_arguments", "machine_for", "run"]

DESCRIPTION = """\
Says what is wrong with a connection to Asterisk and how to mend it, a line for each finding, and changes nothing there.
The exit status is 0 if all is well, 1 if not, and 2 for an option that cannot be right.

It looks whether Asterisk is there and knows the user, whether that user may write, whether this Asterisk is new enough
and has the modules loaded for calls and for what --requests and --needs name, and whether the application's name is
free: whoever connects with a name takes it from the program that has it. With --extension it also looks whether the
dialplan has that extension. Whether the extension runs Stasis() with this application's name, ARI tells nobody;
Asterisk's console does:

    dialplan show 100@from-phones

With MODULE:APP it checks the VoxtraApp there as it is configured, and does not run it. Where that listens, or with
--listen, it looks whether it can; and with --ari-url, --user and --password whether that Asterisk can connect to it.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("target", metavar="MODULE:APP", nargs="?", help="an application of yours, as for `run`")
    parser.add_argument("--ari-url", metavar="URL", help=f"your Asterisk (default: VOXTRA_ARI_URL, or {DEFAULT_URL})")
    authorities.add_argument(parser)
    parser.add_argument("--user", metavar="NAME", help="the ARI user (default: VOXTRA_ARI_USER)")
    parser.add_argument("--password", metavar="WORD", help="and its password (default: VOXTRA_ARI_PASSWORD)")
    parser.add_argument("--app", metavar="NAME", help="the Stasis application (default: voxtra)")
    parser.add_argument("--requests", choices=["http", "websocket"], help="how requests are sent (default: http)")
    parser.add_argument("--listen", metavar="HOST:PORT", help="where Asterisk is to connect to, such as 0.0.0.0:8090")
    parser.add_argument(
        "--extension", metavar="EXTEN@CONTEXT", help="where calls for it come in, such as 100@from-phones"
    )
    parser.add_argument(
        "--needs",
        metavar="FEATURE",
        action="append",
        default=[],
        choices=list(FEATURES),
        help=f"what it will use beside calls, once for each: {', '.join(list(FEATURES)[1:])}",
    )
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=float, default=5.0, help="how long it may take (default: 5)"
    )


def machine_for(arguments: argparse.Namespace, backend: Backend, app: BaseApp | None) -> CheckMachine:
    """A check with these options, or of this application, which prints its findings.

    Raises ``ValueError`` for an option that cannot be right.
    """
    needs = [FEATURES[name] for name in arguments.needs]
    more = {"extension": arguments.extension, "timeout": arguments.timeout}
    if app is not None:
        if {arguments.app, arguments.requests, arguments.listen} != {None}:
            raise ValueError("--app, --requests and --listen are the application's own: it is checked as it stands")
        is_told = arguments.ari_url or arguments.user or arguments.password or arguments.ca
        if is_told and not app.listens:
            raise ValueError("--ari-url, --user, --password and --ca go with an application that listens")
        ari = _options(arguments, backend) if is_told else None
        return app.new_check(observer=_say, needs=needs, ari=ari, **more)
    options = ari = None
    if arguments.listen is None or arguments.ari_url is not None:
        ari = _options(
            arguments,
            backend,
            app_name="voxtra" if arguments.app is None else arguments.app,
            requests=arguments.requests or "http",
        )
    if arguments.listen is not None:
        if {arguments.app, arguments.requests} != {None}:
            raise ValueError(
                "with --listen the applications are those of Asterisk's ari.conf, and requests use its socket"
            )
        options = make_options(
            None, None, None, app_name="voxtra", number_variable=None, listen=arguments.listen, environ={}
        )
    checked = options or ari
    assert checked is not None
    return CheckMachine(checked, new_id=backend.new_id, observer=_say, needs=needs, ari=ari, **more)


def _options(arguments: argparse.Namespace, backend: Backend, **more: Any) -> Options:
    """Where an Asterisk's ARI is."""
    return make_options(
        arguments.ari_url,
        arguments.user,
        arguments.password,
        number_variable=None,
        ssl_context=authorities.context_for(arguments, backend),
        environ=backend.environ(),
        **({"app_name": "voxtra"} | more),
    )


def run(machine: CheckMachine, backend: Backend) -> int:
    """Run it; the exit status."""
    backend.run(lambda: backend.driver().run(machine))
    return 0 if all(finding.ok for finding in machine.findings) else 1


def _say(finding: Finding) -> None:
    print("ok    " if finding.ok else "fault ", finding, flush=True)
