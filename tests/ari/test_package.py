"""The package: everything is found where a reader expects it, nothing loads before it is asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from voxtra_core import ari
from voxtra_core.ari.operations import literals

ROOT = Path(__file__).parents[2]
PACKAGE = "voxtra_core.ari"


def loaded_by(statements: str) -> set[str]:
    """The modules below ``voxtra_core.ari`` that these statements load in a fresh interpreter."""
    report = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{statements}\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-I", "-c", report], capture_output=True, text=True, check=True)
    return {name.removeprefix(f"{PACKAGE}.") for name in run.stdout.split() if name.startswith(f"{PACKAGE}.")}


def test_the_package_alone_loads_nothing() -> None:
    assert loaded_by(f"import {PACKAGE}") == set()


def test_a_builder_loads_no_classes() -> None:
    loaded = loaded_by(f"from {PACKAGE} import Request, channels; channels.answer('c')")
    assert "operations.channels" in loaded
    assert loaded.isdisjoint({"models", "event_types", "decoders", "codec"})


def test_a_model_loads_no_events() -> None:
    loaded = loaded_by(f"from {PACKAGE} import Channel")
    assert "models" in loaded
    assert loaded.isdisjoint({"event_types", "decoders", "codec"})


def test_every_name_is_found_and_documented() -> None:
    for name in ari.__all__:
        value = getattr(ari, name)
        assert value is getattr(ari, name)
        assert value.__doc__ or name in literals.__all__, name
    assert set(ari.__all__) <= set(dir(ari))
    assert "__name__" in dir(ari)


def test_a_type_checker_sees_the_same_names() -> None:
    source = ast.parse(Path(ari.__file__).read_text(encoding="utf-8"))
    block = next(node for node in source.body if isinstance(node, ast.If))
    imported = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported == set(ari.__all__)


def test_events_are_the_resource_and_the_classes_are_beside_it() -> None:
    assert ari.events.user_event("E", application="a").operation == "events.user_event"
    assert ari.StasisStart.__module__ == "voxtra_core.ari.event_types"


@pytest.mark.parametrize("name", ["Chanel", "__wrapped__", "import_modules"])
def test_an_unknown_name_is_unknown(name: str) -> None:
    with pytest.raises(AttributeError, match=f"'{PACKAGE}' has no attribute '{name}'"):
        getattr(ari, name)
