"""``python -m fuzz TARGET --seconds N``: see README.md."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import traceback
from pathlib import Path

from .search import search
from .seeds import seeds_of
from .targets import TARGETS

FINDINGS = Path("fuzz-findings")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Search for inputs that a target fails on.")
    parser.add_argument("target", nargs="+", help=f"all, or of: {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each target (10)")
    parser.add_argument("--seed", type=int, default=0, help="of our own search (0)")
    parser.add_argument(
        "--engine", choices=["auto", "atheris", "own"], default="auto", help="auto: atheris if it is there"
    )
    parser.add_argument("--input", type=Path, help="a file: run the target on it, once, and be done")
    arguments = parser.parse_args()
    names = list(TARGETS) if arguments.target == ["all"] else arguments.target
    if unknown := [name for name in names if name not in TARGETS]:
        parser.error(f"no such target: {', '.join(unknown)}")
    if arguments.input is not None:
        TARGETS[names[0]](arguments.input.read_bytes())
        return 0
    if arguments.engine == "atheris" or (arguments.engine == "auto" and importlib.util.find_spec("atheris")):
        return by_atheris(names, arguments.seconds)
    return max(by_ourselves(name, arguments.seconds, arguments.seed) for name in names)


def by_ourselves(name: str, seconds: float, seed: int) -> int:
    """Search one; 1 if something was found."""
    tried, found = search(TARGETS[name], seeds_of(name), seconds=seconds, seed=seed)
    print(f"{name}: {tried} inputs, {'a finding' if found else 'no finding'}", flush=True)
    if found is None:
        return 0
    FINDINGS.mkdir(exist_ok=True)
    path = FINDINGS / name
    path.write_bytes(found.data)
    traceback.print_exception(found.error)
    print(f"{found.data!r}\nagain: python -m fuzz {name} --input {path}")
    return 1


def by_atheris(names: list[str], seconds: float) -> int:
    """Search by libFuzzer, which ends the process: one target in each, and in this one the last."""
    import subprocess

    *others, last = names
    for name in others:
        command = [sys.executable, "-m", "fuzz", name, "--seconds", str(seconds), "--engine", "atheris"]
        if status := subprocess.run(command, check=False).returncode:
            return status
    from .coverage_guided import run

    FINDINGS.mkdir(exist_ok=True)
    learned = FINDINGS / "corpus" / last
    learned.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds_of(last)):
        (learned / f"seed-{number}").write_bytes(seed)
    run(last, learned, seconds, FINDINGS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
