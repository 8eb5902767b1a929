"""``--ca``: whose certificates are trusted."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..app import Backend
from ..effects import failure_reason

if TYPE_CHECKING:
    from ssl import SSLContext

__all__ = ["add_argument", "context_for"]


def add_argument(parser: argparse.ArgumentParser) -> None:
    """The option."""
    parser.add_argument(
        "--ca", metavar="FILE", help="for https: trust the certificates in this file, in PEM, and not the platform's"
    )


def context_for(arguments: argparse.Namespace, backend: Backend) -> SSLContext | None:
    """What to trust, or ``None`` for the platform's own. ``ValueError`` if the file cannot be read."""
    if arguments.ca is None:
        return None
    try:
        return backend.client_context(arguments.ca)
    except OSError as error:
        raise ValueError(f"no certificates in PEM in {arguments.ca!r}: {failure_reason(error)}") from error
