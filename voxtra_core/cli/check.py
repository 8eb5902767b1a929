"""``check``: what is wrong with a connection, a line for each finding."""

from __future__ import annotations

import argparse

from ..app import Backend
from ..app.check import CheckMachine
from ..app.findings import Finding
from ..app.options import DEFAULT_URL, make_options
from ..app.versions import FEATURES
from . import authorities

__all__ = ["DESCRIPTION", "add_arguments", "machine_for", "run"]

DESCRIPTION = """\
Says what is wrong with a connection to Asterisk and how to mend it, a line for each finding, and changes nothing there.
The exit status is 0 if all is well, 1 if not, and 2 for an option that cannot be right.

It looks whether Asterisk is there and knows the user, whether that user may write, whether this Asterisk is new enough
and has the modules loaded for calls and for what --needs names, and whether the application's name is free: whoever
connects with a name takes it from the program that has it. With --extension it also looks whether the dialplan has that
extension. Whether the extension runs Stasis() with this application's name, ARI tells nobody; Asterisk's console does:

    dialplan show 100@from-phones
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("--ari-url", metavar="URL", help=f"your Asterisk (default: VOXTRA_ARI_URL, or {DEFAULT_URL})")
    authorities.add_argument(parser)
    parser.add_argument("--user", metavar="NAME", help="the ARI user (default: VOXTRA_ARI_USER)")
    parser.add_argument("--password", metavar="WORD", help="and its password (default: VOXTRA_ARI_PASSWORD)")
    parser.add_argument("--app", metavar="NAME", default="voxtra", help="the Stasis application (default: voxtra)")
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


def machine_for(arguments: argparse.Namespace, backend: Backend) -> CheckMachine:
    """A check with these options, which prints its findings. ``ValueError`` for an option that cannot be right."""
    options = make_options(
        arguments.ari_url,
        arguments.user,
        arguments.password,
        app_name=arguments.app,
        number_variable=None,
        ssl_context=authorities.context_for(arguments, backend),
        environ=backend.environ(),
    )
    return CheckMachine(
        options,
        new_id=backend.new_id,
        observer=_say,
        needs=[FEATURES[name] for name in arguments.needs],
        extension=arguments.extension,
        timeout=arguments.timeout,
    )


def run(machine: CheckMachine, backend: Backend) -> int:
    """Run it; the exit status."""
    backend.run(lambda: backend.driver().run(machine))
    return 0 if all(finding.ok for finding in machine.findings) else 1


def _say(finding: Finding) -> None:
    print("ok    " if finding.ok else "fault ", finding, flush=True)
