"""What are words, and how many somebody has said."""

from __future__ import annotations

import re

from .sentences import UNSPACED, WIDE

__all__ = ["WORD", "word_count", "words_of"]

WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
"""One word, of any script that has spaces between them."""
WIDE_LETTERS = 2
"""Letters of a word in Chinese or Japanese, about: 你好 is one, and so is 好 alone; and"""
UNSPACED_LETTERS = 4
"""… in Thai, Lao, Burmese or Khmer, the marks above and below them not counted."""

_UNSPACED = re.compile(f"[{UNSPACED}]")
_IS_WIDE = re.compile(f"[{WIDE}]")


def word_count(text: str) -> int:
    """The words of a text; estimated by their letters in scripts that put no spaces between words."""
    unspaced = [char for char in _UNSPACED.findall(text) if char.isalnum()]
    wide = sum(_IS_WIDE.match(char) is not None for char in unspaced)
    spaced = len(WORD.findall(_UNSPACED.sub(" ", text)))
    return spaced + -(-wide // WIDE_LETTERS) + -(-(len(unspaced) - wide) // UNSPACED_LETTERS)


def words_of(text: str) -> list[str]:
    """The words of a text, to be compared: in small letters, and letter by letter in scripts without spaces."""
    return WORD.findall(_UNSPACED.sub(r" \g<0> ", text.casefold()))
