"""The core under another name and without ``wire``, by the commands of docs/vendoring.md.

Each test starts fresh interpreters that see those three libraries, what they need, and a temporary folder, and nothing
else that is installed here.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest

from tests.test_project import ROOT, fenced

PAGE = (ROOT / "docs" / "vendoring.md").read_text()
NAME = "acme.telephony"
LEFT_BEHIND = re.compile(
    r"(voxtra_core|tests)\.(wire|cli|apps|drivers|benchmarks)\b|testing\.serve|voxtra_trio|voxtra_asyncio"
    r"|^import (anyio|trio)|^from \.generate",
    re.MULTILINE,
)
"""In a file of tests: that it is about more than what was copied."""
LIBRARIES = ("attrs", "pytest", "hypothesis")
NOT_OURS = {"h11", "wsproto", "anyio", "trio", "numpy", "samplerate"}
ROOMS = ["call", "stasis", "media"]
MORE_ROOMS = ["session", "testing", "ari"]


def closure(*names: str) -> Iterator[Distribution]:
    """These, and what they need."""
    seen: set[str] = set()
    left = [*names]
    while left:
        name = left.pop().lower()
        if name in seen:
            continue
        seen.add(name)
        found = distribution(name)
        yield found
        for requirement in found.requires or []:
            wanted, _, when = requirement.partition(";")
            if "extra" not in when and not re.search(r"python_(full_)?version ?<|platform|implementation", when):
                left.append(re.split(r"[^\w.-]", wanted.strip())[0])


def shelf(folder: Path, *names: str) -> Path:
    """A place to import from that has these libraries, and what they need, and nothing else."""
    folder.mkdir()
    for library in closure(*names):
        for file in library.files or []:
            top = file.parts[0]
            if top not in {"..", "__pycache__"} and not (folder / top).exists():
                (folder / top).symlink_to(Path(str(library.locate_file(top))))
    return folder


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package ``acme``, into which the page's commands have put the core."""
    folder = tmp_path_factory.mktemp("vendored")
    acme = folder / "acme"
    acme.mkdir()
    (acme / "__init__.py").touch()
    ((_, commands),) = fenced(PAGE, "sh")
    *copying, installing = commands.splitlines()
    assert installing.split() == ["pip", "install", "attrs"]
    assert len(copying) == 2
    environment = os.environ | {"YOURS": str(acme)}
    subprocess.run(["sh", "-ec", "\n".join(copying)], cwd=ROOT, env=environment, check=True)
    return folder


def run(copy: Path, shelf: Path, code: str, *, within: float) -> str:
    """What this prints, in an interpreter that sees the copy and the shelf."""
    start = f"import sys; sys.path[:0] = [{str(copy)!r}, {str(shelf)!r}]; sys.argv[0] = 'vendored'\n"
    program = [sys.executable, "-I", "-S", "-B", "-c", start + code]
    ran = subprocess.run(
        program, cwd=copy, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=within, check=False
    )
    assert ran.returncode == 0, ran.stdout[-5000:]
    return ran.stdout


A_CALL = """
import pkgutil
from importlib import import_module

import acme.telephony

for module in pkgutil.walk_packages(acme.telephony.__path__, "acme.telephony."):
    if "strategies" not in module.name:
        import_module(module.name)

from acme.telephony.testing import Caller, SimulatedAsterisk
from acme.telephony.testing.virtual import VirtualApp, VirtualLoop

loop = VirtualLoop()
asterisk = SimulatedAsterisk(new_id=loop.new_id)
app = VirtualApp(loop, asterisk)

@app.default()
async def handler(call):
    await call.answer()
    await call.play_file("hello-world")
    print(await call.listen_dtmf(timeout=5))
    await call.hangup()
    await app.stop()

asterisk.add_caller(Caller("5550100").waits_for_prompt("hello-world").presses("7"), app.app_name)
loop.run(app.serve)
print(asterisk.channel_ids, *sorted(name.partition(".")[0] for name in sys.modules))
"""


def test_every_module_is_imported_and_a_call_is_made_with_attrs_alone(copy: Path, tmp_path: Path) -> None:
    digit, rest = run(copy, shelf(tmp_path / "shelf", "attrs"), A_CALL, within=60).splitlines()
    assert digit == "7"
    ids, *loaded = rest.split()
    assert ids == "[]"
    assert {"acme", "attrs"} <= set(loaded)
    assert {name for name in loaded if name in NOT_OURS or name.startswith("voxtra")} == set()


def test_nothing_is_left_that_needs_what_was_deleted(copy: Path) -> None:
    """But for two places, which say so when they are asked: what an application overrides, and ``check``."""
    core = copy / "acme" / "telephony"
    naming = [path.relative_to(core).as_posix() for path in sorted(core.rglob("*.py")) if "..wire" in path.read_text()]
    assert naming == ["app/check.py", "app/connect.py"]
    assert not (core / "wire").exists()


A_CONVERSATION = """
import json

sent = []
send = lambda *request: sent.append(request)
channel = {"id": "1.1", "name": "PJSIP/alice", "state": "Ring", "caller": {"name": "", "number": "5550100"}}
channel |= {"connected": {"name": "", "number": ""}, "accountcode": "", "creationtime": "", "language": "en"}
channel["dialplan"] = {"context": "default", "exten": "200", "priority": 1}
about = {"application": "app", "timestamp": "2026-11-22", "channel": channel, "args": []}
came(json.dumps({"type": "StasisStart"} | about), 1.0)
print(*look(1.0, send), sent)
answered(sent[0][0], 204, "No Content", b"", 1.1)
came(json.dumps({"type": "ChannelStateChange"} | about | {"channel": channel | {"state": "Up"}}), 1.2)
came(json.dumps({"type": "ChannelDestroyed", "cause": 16, "cause_txt": "Normal"} | about), 2.0)
print(*look(2.0, send), machine.next_deadline())
"""


def test_the_pages_machine_takes_a_call(copy: Path, tmp_path: Path) -> None:
    ((_, example),) = fenced(PAGE, "python")
    code = example.replace("voxtra_core", NAME) + A_CONVERSATION
    first, second = run(copy, shelf(tmp_path / "shelf", "attrs"), code, within=60).splitlines()
    assert first == "5550100 calls [('1', 'POST', '/ari/channels/1.1/answer', None)]"
    assert second == "5550100 is gone: completed None"


@pytest.mark.soak
def test_the_tests_of_what_is_left_pass_there(copy: Path, tmp_path: Path, soak_seconds: float) -> None:
    """Those of the calls, the application and the audio; and with 100 seconds or more all that there are."""
    tests = copy / "tests"
    rooms = ROOMS + (MORE_ROOMS if soak_seconds >= 100 else [])
    files = [ROOT / "tests" / "conftest.py", ROOT / "tests" / "test_deadlines.py"]
    files += [file for room in [*ROOMS, *MORE_ROOMS] for file in sorted((ROOT / "tests" / room).rglob("*.py"))]
    for file in files:
        text = file.read_text()
        if not LEFT_BEHIND.search(text):
            target = tests / file.relative_to(ROOT / "tests")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text.replace("voxtra_core", NAME))
    (tests / "fixtures").symlink_to(ROOT / "tests" / "fixtures")
    for file in [*(ROOT / "tests").rglob("*.wav"), *(ROOT / "tests" / "ari").rglob("*.json")]:
        (tests / file.relative_to(ROOT / "tests")).symlink_to(file)
    options = ["--import-mode=importlib", "-p", "no:cacheprovider", "-q", "-m", "not soak and not asterisk"]
    markers = "markers =\n  soak\n  asterisk\n"
    (copy / "pytest.ini").write_text(f"[pytest]\npythonpath = .\nconsider_namespace_packages = true\n{markers}")
    paths = ["tests/test_deadlines.py", *(f"tests/{room}" for room in rooms)]
    code = f"import pytest; sys.exit(pytest.main({[*options, *paths]!r}))"
    said = run(copy, shelf(tmp_path / "shelf", *LIBRARIES), code, within=60 + 10 * soak_seconds)
    passed = re.search(r"(\d+) passed", said)
    assert passed is not None
    assert int(passed[1]) > 500
