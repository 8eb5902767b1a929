"""Arguments, and what to do with them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import Any

from ..app import BaseApp
from ..app.options import DEFAULT_URL
from ..effects import LogLevel
from ..errors import VoxtraError
from . import authorities, check, provision
from .show import Show

__all__ = ["main"]

PACKAGES = {"asyncio": "voxtra_asyncio", "trio": "voxtra_trio"}

DESCRIPTION = """\
Phone calls on Asterisk, in Python: see them happen, and run applications.
"""

DEMO = """\
Runs a small voice menu and shows each call as it happens, event by event.

Without options it calls itself: it starts a simulated Asterisk on a free port of this machine, and a scripted caller
dials in, listens, presses a key and is sent on its way. Nothing is needed but Python, and nothing leaves the machine.

With --ari-url it runs the same menu on your Asterisk: dial an extension that runs Stasis(voxtra-demo), such as

    exten => 100,1,Stasis(voxtra-demo)
     same => n,Hangup()

or let it call you, with --call.

With --agent it is a spoken conversation in place of the menu, and what is shown is who says what, and how long each
answer took. Speech is made and understood on this machine: pip install 'voxtra-core[local]'. Without that a simulated
caller and agent speak in tones, and on your Asterisk there is none.
"""

RUN = """\
Imports a module from the current directory and runs the VoxtraApp in it:

    voxtra run myapp:app

Where Asterisk is and as whom comes from the app, or else from VOXTRA_ARI_URL, VOXTRA_ARI_USER and VOXTRA_ARI_PASSWORD.
"""


def main(argv: Sequence[str] | None = None, *, backend: str | None = None) -> int:
    """Run a command and return its exit status: 0 when it went well, 1 when it didn't, 2 for wrong arguments, 128 + its
    number when a signal cut it short.

    ``backend`` is the loop that the caller stands for; without one there is an option for it.
    """
    parser = _parser(backend)
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "provision":
            return _provision(arguments)
        app_class = _app_class(arguments.backend)
        quiet = LogLevel.INFO if arguments.command == "run" else LogLevel.WARNING  # the demo shows what happens itself
        app_class.backend.log_to_stderr(LogLevel.DEBUG if arguments.verbose else quiet)
        if arguments.command == "run":
            return _load(arguments.app, app_class).run()
        if arguments.command == "check":
            return _check(arguments, app_class)
        return _demo(arguments, app_class)
    except KeyboardInterrupt:
        return 130
    except (VoxtraError, _Refused) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2 if isinstance(error, _WrongArguments) else 1


def _parser(backend: str | None) -> argparse.ArgumentParser:
    program = f"python -m {PACKAGES[backend]}" if backend else "voxtra"
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog=program, description=DESCRIPTION, formatter_class=raw)
    parser.set_defaults(verbose=False, backend=backend or "asyncio")
    general = argparse.ArgumentParser(add_help=False)
    for place in (parser, general):  # before the command, and behind it
        place.add_argument("-v", "--verbose", action="store_true", default=argparse.SUPPRESS, help="log everything")
        if backend is None:
            loop = "the loop: asyncio (the default) or trio"
            place.add_argument("--backend", choices=sorted(PACKAGES), default=argparse.SUPPRESS, help=loop)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo", help="watch a call to a voice menu", description=DEMO, formatter_class=raw, parents=[general]
    )
    demo.add_argument(
        "--ari-url", metavar="URL", help=f"your Asterisk, such as {DEFAULT_URL} (default: a simulated one)"
    )
    authorities.add_argument(demo)
    demo.add_argument("--user", metavar="NAME", help="the ARI user (default: VOXTRA_ARI_USER)")
    demo.add_argument("--password", metavar="WORD", help="and its password (default: VOXTRA_ARI_PASSWORD)")
    demo.add_argument(
        "--app", metavar="NAME", default="voxtra-demo", help="the Stasis application (default: voxtra-demo)"
    )
    demo.add_argument(
        "--call", metavar="ENDPOINT", help="call this endpoint, such as PJSIP/alice, and give it the menu"
    )
    demo.add_argument("--agent", action="store_true", help="hold a spoken conversation")
    demo.add_argument(
        "--model",
        metavar="NAME",
        help="who answers, by OpenAI's API: see VOXTRA_LLM_BASE_URL, VOXTRA_LLM_API_KEY (default: a few rules)",
    )
    demo.add_argument("--calls", metavar="N", type=_positive, default=1, help="end after so many calls (default: 1)")
    check.add_arguments(
        commands.add_parser(
            "check",
            help="find out what is wrong with a connection",
            description=check.DESCRIPTION,
            formatter_class=raw,
            parents=[general],
        )
    )
    provision.add_arguments(
        commands.add_parser(
            "provision",
            help="print the configuration that Asterisk needs",
            description=provision.DESCRIPTION,
            formatter_class=raw,
            parents=[general],
        )
    )
    run = commands.add_parser(
        "run", help="run an application of yours", description=RUN, formatter_class=raw, parents=[general]
    )
    run.add_argument("app", metavar="MODULE:APP", help="where it is: a module, a colon, and its name in there")
    return parser


class _Refused(Exception):
    """The command cannot be carried out; the message says why."""


class _WrongArguments(_Refused):
    """What was given cannot be right, or does not fit together."""


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _app_class(backend: str) -> type[BaseApp]:
    try:
        app_class: type[BaseApp] = import_module(PACKAGES[backend]).VoxtraApp
    except ModuleNotFoundError as error:
        if error.name != backend:
            raise
        raise _Refused(f"{backend} is not installed: pip install 'voxtra-core[{backend}]'") from error
    return app_class


def _demo(arguments: argparse.Namespace, app_class: type[BaseApp]) -> int:
    from .demo import demo_on_asterisk, demo_simulated  # the simulator, which no other command needs

    elsewhere = [arguments.ca, arguments.user, arguments.password, arguments.call, arguments.calls != 1]
    if arguments.ari_url is None and any(elsewhere):
        raise _WrongArguments("--ca, --user, --password, --call and --calls go with --ari-url")
    if arguments.agent:
        return _demo_agent(arguments, app_class)
    if arguments.model is not None:
        raise _WrongArguments("--model goes with --agent")
    if arguments.ari_url is None:
        return demo_simulated(app_class, arguments.app)
    show = Show(partial(print, flush=True), app_class.backend.time)
    app = _demo_app(arguments, app_class, observer=show)
    return demo_on_asterisk(app, show, endpoint=arguments.call, calls=arguments.calls)


def _demo_agent(arguments: argparse.Namespace, app_class: type[BaseApp]) -> int:
    from ..providers import OpenAIChat
    from .demo_agent import Minutes, Parts, agent_on_asterisk, agent_simulated

    minutes = Minutes(partial(print, flush=True), app_class.backend.time)
    if arguments.model == "":
        raise _WrongArguments("--model must be the name of one, as its server calls it")
    model = OpenAIChat(arguments.model) if arguments.model is not None else None
    if arguments.ari_url is None:
        return agent_simulated(app_class, arguments.app, model=model, minutes=minutes)
    try:
        parts = Parts.local()
    except ImportError as missing:
        raise _Refused(f"{missing}") from missing
    app = _demo_app(arguments, app_class, **parts.options(model))
    return agent_on_asterisk(app, minutes, endpoint=arguments.call, calls=arguments.calls)


def _demo_app(arguments: argparse.Namespace, app_class: type[BaseApp], **options: Any) -> BaseApp:
    """On somebody's Asterisk."""
    try:
        return app_class(
            arguments.ari_url,
            arguments.user,
            arguments.password,
            app_name=arguments.app,
            ssl_context=authorities.context_for(arguments, app_class.backend),
            **options,
        )
    except ValueError as error:
        raise _WrongArguments(f"{error}") from error


def _check(arguments: argparse.Namespace, app_class: type[BaseApp]) -> int:
    app = None if arguments.target is None else _load(arguments.target, app_class)
    try:
        machine = check.machine_for(arguments, app_class.backend, app)
    except ValueError as error:
        raise _WrongArguments(f"{error}") from error
    return check.run(machine, app_class.backend)


def _provision(arguments: argparse.Namespace) -> int:
    try:
        print(provision.text_for(arguments), end="")
    except ValueError as error:
        raise _Refused(f"{error}") from error
    return 0


def _load(target: str, app_class: type[BaseApp]) -> BaseApp:
    module_name, colon, name = target.partition(":")
    if not (module_name and colon and name):
        raise _WrongArguments(f"say which application it is as module:app, not {target!r}")
    sys.path.insert(0, "")  # the current directory, also for the console script
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not module_name.startswith(error.name):
            raise
        raise _Refused(f"there is no module {error.name!r} here") from error
    app = getattr(module, name, None)
    if not isinstance(app, app_class):
        kind = f"a {type(app).__name__}" if app is not None else "nothing"
        raise _Refused(f"{target} should be a VoxtraApp of {app_class.__module__}, and is {kind}")
    return app
