"""``python -m voxtra_asyncio``: see ``--help``."""

import sys

from voxtra_core.cli import main

sys.exit(main(backend="asyncio"))
