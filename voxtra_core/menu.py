"""A menu of keys: prompts, retries, and what is said to who presses nothing, or what is no choice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeAlias

from .call.collecting import KEYS, CollectedDigits

__all__ = ["Collect", "Prompt", "choose"]

Prompt: TypeAlias = "str | Sequence[str]"
Collect: TypeAlias = Callable[..., Awaitable[CollectedDigits]]
"""``collect_digits`` of a call."""


async def choose(
    collect: Collect,
    prompt: Prompt,
    choices: Collection[str],
    *,
    tries: int,
    timeout: float,
    inter_digit_timeout: float,
    invalid_prompt: Prompt | None,
    timeout_prompt: Prompt | None,
    interrupt_prompt: bool,
) -> str | None:
    """The choice that is made; ``None`` where none is in so many tries. :meth:`.CallSession.menu` says more."""
    keys = _checked(choices, tries)
    opening = _items(prompt)
    said: list[str] = []
    for _ in range(tries):
        entered = await collect(
            1,
            terminators="",
            first_digit_timeout=timeout,
            prompt=[*said, *opening],
            interrupt_prompt=interrupt_prompt,
        )
        choice = entered.digits.upper()
        while any(key != choice and key.startswith(choice) for key in keys) and choice:
            entered = await collect(1, terminators="", first_digit_timeout=inter_digit_timeout)
            if not entered.digits:
                break
            choice += entered.digits.upper()
        if choice in keys:
            return choice
        said = _items(invalid_prompt if choice else timeout_prompt)
    return None


def _checked(choices: Collection[str], tries: int) -> frozenset[str]:
    keys = frozenset(choice.upper() for choice in choices)
    if not keys or not all(key and not set(key) - set(KEYS) for key in keys):
        raise ValueError(f"choices must be one or more, each of keys out of {KEYS}, not {list(choices)!r}")
    if tries < 1:
        raise ValueError(f"tries must be 1 or more, not {tries!r}")
    return keys


def _items(prompt: Prompt | None) -> list[str]:
    if prompt is None:
        return []
    return [prompt] if isinstance(prompt, str) else list(prompt)
