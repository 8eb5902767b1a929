"""Sphinx: ``sphinx-build -W -n docs docs/_build``."""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from docs import state_diagram, versions_table  # noqa: E402
from voxtra_core._version import __version__  # noqa: E402

project = "Voxtra"
author = "Voxtra contributors"
project_copyright = "Voxtra contributors"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "generated"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"Voxtra {version}"

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_typehints_format = "short"
add_module_names = False
# References to what is ours must resolve. Annotations reach outside as well, to pages that a build without a network
# can't ask, and are written by the short names that the source uses.
nitpick_ignore_regex = [("py:.*", "(?!voxtra_).*"), ("py:class", r".*\.[A-Z](_co|_contra)?")]

# A builder's `Request[Playback]` is imported for type checkers only, and there is a call's `Playback` as well.
suppress_warnings = ["ref.python"]


def write_generated_pages(app: Sphinx) -> None:
    """Write into ``generated/`` what pages include, from the tables in the code."""
    from voxtra_core.app.versions import FEATURES, SERIES
    from voxtra_core.call.states import TRANSITIONS

    target = Path(app.srcdir) / "generated"
    target.mkdir(exist_ok=True)
    (target / "call-states.md").write_text(state_diagram.markdown(TRANSITIONS))
    (target / "versions.md").write_text(versions_table.markdown(FEATURES.values(), SERIES))


def setup(app: Sphinx) -> None:
    """Sphinx calls this once."""
    app.connect("builder-inited", write_generated_pages)
