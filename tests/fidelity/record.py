"""Record scenarios anew from a real Asterisk 22: ``AST_DIR=… python -m tests.fidelity.record [NAME …]``.

``AST_DIR`` is the folder of one that ``tests/asterisk/start`` has started. Names are beginnings of scenarios' names;
without any all are recorded, and recordings of scenarios that are no more are removed. Some leave a channel
behind until that Asterisk ends.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.asterisk.pbx import Asterisk
from tests.fidelity.recordings import FOLDER
from tests.fidelity.scenes.every import SCENARIOS
from tests.fidelity.together import play_together

__all__: list[str] = []


def main(names: list[str]) -> int:
    """Returns how many failed."""
    chosen = [scenario for scenario in SCENARIOS if not names or scenario.name.startswith(tuple(names))]
    failed = 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, trace in play_together(chosen, Asterisk.in_dir(Path(os.environ["AST_DIR"]))).items():
        if isinstance(trace, Exception):
            failed += 1
            print(f"{name}: {trace!r}", file=sys.stderr)
        else:
            (FOLDER / f"{name}.jsonl").write_text(trace.text())
    if not names:
        for path in FOLDER.glob("*.jsonl"):
            if path.stem not in {scenario.name for scenario in SCENARIOS}:
                path.unlink()
    print(f"{len(chosen) - failed} recorded, {failed} failed")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) and 1)
