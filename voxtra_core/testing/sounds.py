"""How long Asterisk's prompts are."""

from __future__ import annotations

from typing import Final

__all__ = ["SOUNDS", "SPOKEN_CHARACTER"]

SOUNDS: Final[dict[str, float]] = {
    "agent-incorrect": 5.16,
    "agent-pass": 3.30,
    "auth-incorrect": 4.62,
    "auth-thankyou": 0.96,
    "beep": 0.44,
    "beeperr": 0.36,
    "conf-getpin": 2.40,
    "conf-hasjoin": 1.78,
    "conf-hasleft": 1.78,
    "conf-invalidpin": 2.66,
    "conf-muted": 1.40,
    "conf-onlyperson": 3.16,
    "conf-unmuted": 1.50,
    "confbridge-pin": 5.14,
    "demo-congrats": 30.28,
    "demo-instruct": 73.36,
    "demo-moreinfo": 14.74,
    "demo-thanks": 5.52,
    "digits/0": 0.88,
    "digits/1": 0.92,
    "digits/2": 0.76,
    "digits/3": 0.84,
    "digits/4": 0.82,
    "digits/5": 0.84,
    "digits/6": 0.90,
    "digits/7": 0.84,
    "digits/8": 0.70,
    "digits/9": 0.86,
    "hello": 0.80,
    "hello-world": 1.42,
    "invalid": 4.12,
    "pbx-invalid": 4.44,
    "pbx-transfer": 0.96,
    "please-try-call-later": 2.18,
    "pm-invalid-option": 3.22,
    "privacy-thankyou": 0.96,
    "queue-holdtime": 2.80,
    "queue-thankyou": 1.60,
    "queue-youarenext": 5.38,
    "silence/1": 1.00,
    "silence/10": 10.00,
    "silence/2": 2.00,
    "silence/3": 3.00,
    "silence/5": 5.00,
    "ss-noservice": 4.94,
    "transfer": 2.40,
    "tt-monkeys": 16.18,
    "vm-goodbye": 0.88,
    "vm-incorrect": 1.46,
    "vm-login": 2.56,
    "vm-nobodyavail": 2.80,
    "vm-password": 1.10,
    "vm-rec-name": 4.30,
    "vm-sorry": 3.08,
}
"""Seconds by name, without ``sound:``.

From the English GSM files of Debian's ``asterisk-core-sounds-en-gsm``, where 33 bytes are 20 ms. The time between
``PlaybackStarted`` and ``PlaybackFinished`` on a real 22.10.1 agrees to 5 ms.
"""

SPOKEN_CHARACTER: Final = 0.84
"""Seconds for a character of ``digits:``, ``number:`` or ``characters:``: the mean of ``digits/0`` to ``digits/9``."""
