"""``python -m voxtra_trio``: see ``--help``."""

import sys

from voxtra_core.cli import main

sys.exit(main(backend="trio"))
