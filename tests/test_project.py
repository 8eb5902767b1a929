"""What the files around the code promise, and can be checked without a PBX. `.ci/run` runs the README's commands."""

from __future__ import annotations

import ast
import importlib
import os
import re
import tomllib
from enum import Enum, auto
from pathlib import Path

import pytest

from docs.state_diagram import markdown
from voxtra_core._version import __version__
from voxtra_core.call.states import TRANSITIONS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PACKAGES = ["voxtra_core", "voxtra_trio", "voxtra_asyncio"]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def fenced(text: str, language: str | None = None) -> list[tuple[str, str]]:
    """The fenced blocks of a Markdown page, as language and content, in order; all, or those of one language."""
    blocks = re.findall(r"^```([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(name, content) for name, content in blocks if language in {None, name}]


def test_the_readme_opens_with_two_commands() -> None:
    (first, demo), (second, tests) = fenced(README)[:2]
    assert (first, second) == ("sh", "sh")
    assert demo.rstrip().endswith("python -m voxtra_asyncio demo")
    assert tests.rstrip().endswith("pytest")


def test_the_readmes_handlers_differ_in_their_import_only() -> None:
    trio, asyncio = (content for _, content in fenced(README, "python"))
    assert trio.replace("voxtra_trio", "voxtra_asyncio") == asyncio


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_are_python_and_import_what_exists(page: Path) -> None:
    for _, example in fenced(page.read_text(), "python"):
        for node in ast.walk(ast.parse(example)):
            if isinstance(node, ast.ImportFrom) and node.module:
                module = importlib.import_module(node.module)
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def test_the_changelog_knows_this_version() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert __version__ in headings[0]
    assert ("Unreleased" in headings[0]) == ("dev" in __version__)


def test_the_version_stands_in_one_place() -> None:
    sources = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    stating = [path for path in [*sources, *PAGES, ROOT / "pyproject.toml"] if __version__ in path.read_text()]
    assert stating == [ROOT / "voxtra_core" / "_version.py"]


def test_every_dependency_has_its_reasons() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed = [*project["dependencies"], *(one for extra in extras.values() for one in extra)]
    names = {re.match(r"[\w-]+", requirement)[0].lower() for requirement in needed} - {"voxtra-core"}  # type: ignore[index]
    page = (ROOT / "docs" / "dependencies.md").read_text().lower()
    assert "audioop-lts" in names
    assert [name for name in sorted(names) if name not in page and name.removesuffix("-parser") not in page] == []
    assert [extra for extra in extras if f"| `{extra}` |" not in page] == []


def test_only_what_python_lacks_is_needed_for_audio() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    conditional = [one.partition(";") for one in project["dependencies"] if ";" in one]
    assert [(name.partition(">")[0], when.strip()) for name, _, when in conditional] == [
        ("audioop-lts", "python_version >= '3.13'")
    ]


@pytest.mark.parametrize("script", ["tests/asterisk/start", "tests/asterisk/stop"])
def test_scripts_are_executable(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)


class Light(Enum):
    """States for a table that is none of the calls'."""

    RED = "red"
    GREEN = "green"
    OFF = "off & out"


class Switch(Enum):
    """What moves them."""

    NEXT = auto()
    BREAK = auto()


def test_the_state_diagram_shows_the_table_whatever_it_holds() -> None:
    page = markdown(
        {
            (Light.RED, Switch.NEXT): Light.GREEN,
            (Light.GREEN, Switch.NEXT): Light.RED,
            (Light.GREEN, Switch.BREAK): Light.OFF,
            (Light.OFF, Switch.NEXT): Light.OFF,
        }
    )
    assert page.count("<rect") == 3
    assert page.count("marker-end") == 3  # what changes nothing is not drawn
    assert "off &amp; out" in page
    assert "| **green** | red | off & out |" in page
    assert "| **off & out** | · |  |" in page


def test_the_state_diagram_of_a_call_has_an_arrow_for_each_change() -> None:
    changes = {(state, target) for (state, _), target in TRANSITIONS.items() if target is not state}
    assert markdown(TRANSITIONS).count("marker-end") == len(changes)
