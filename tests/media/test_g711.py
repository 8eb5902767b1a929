"""G.711 against ITU-T's Recommendation G.711 (11/88), over everything there is.

The tables here are made from its text: which segments there are, how wide their intervals, which bits are inverted.
They know nothing of ``audioop``, nor of any other program's tables.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtra_core.media import alaw_to_slin, slin_to_alaw, slin_to_ulaw, ulaw_to_slin

CODES = bytes(range(256))
SAMPLES = array("h", range(-32768, 32768))

# ---- what the Recommendation says ------------------------------------------------------------------------------------


def segments(widths: list[int], intervals: list[int]) -> list[int]:
    """Decision values from 0 up: each segment with so many intervals of such a width."""
    values = [0]
    for width, count in zip(widths, intervals, strict=True):
        values += [values[-1] + width * (step + 1) for step in range(count)]
    return values


def alaw_decisions() -> list[int]:
    """Table 1: 13 bits; two segments of 16 intervals 2 wide, then each twice as wide as the one before, to 4096."""
    return segments([2, 2, 4, 8, 16, 32, 64, 128], [16] * 8)


def ulaw_decisions() -> list[int]:
    """Table 2: 14 bits; one interval 1 wide, 15 of 2, then 16 each of 4, 8, … 256, to 8159."""
    return segments([1, 2, 4, 8, 16, 32, 64, 128, 256], [1, 15, *[16] * 7])


def alaw_code(interval: int, negative: bool) -> int:
    """Its number in binary, the sign bit 1 where positive, and every second bit inverted (note 2: XOR 0x55)."""
    return ((0 if negative else 0x80) | interval) ^ 0x55


def ulaw_code(interval: int, negative: bool) -> int:
    """As 127 less its number, the sign bit 1 where positive: table 2 counts the character signals down."""
    return (0 if negative else 0x80) | (127 - interval)


def alaw_values() -> dict[int, int]:
    """Code to quantised value, the middle of its interval, in 16 bits: 13 bits and three more."""
    middles = [(low + high) // 2 for low, high in pairwise(alaw_decisions())]
    return {alaw_code(n, sign < 0): sign * 8 * middle for n, middle in enumerate(middles) for sign in (1, -1)}


def ulaw_values() -> dict[int, int]:
    """The same in 14 bits and two more; the first interval's value is 0 itself (``y0``)."""
    middles = [0] + [(low + high) // 2 for low, high in pairwise(ulaw_decisions()[1:])]
    return {ulaw_code(n, sign < 0): sign * 4 * middle for n, middle in enumerate(middles) for sign in (1, -1)}


def test_the_tables_have_the_recommendations_corners() -> None:
    alaw, ulaw = alaw_values(), ulaw_values()
    assert len(alaw) == len(ulaw) == 256
    assert (alaw_decisions()[-1], ulaw_decisions()[-1]) == (4096, 8159)
    assert (alaw[0xD5], alaw[0x55], alaw[0xAA], alaw[0x2A]) == (8, -8, 4032 * 8, -4032 * 8)
    assert (ulaw[0xFF], ulaw[0x7F], ulaw[0x80], ulaw[0x00]) == (0, 0, 8031 * 4, -8031 * 4)


# ---- decoding --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("decode", "values"), [(alaw_to_slin, alaw_values()), (ulaw_to_slin, ulaw_values())])
def test_each_code_decodes_to_its_quantised_value(decode: Callable[[bytes], bytes], values: dict[int, int]) -> None:
    assert dict(enumerate(array("h", decode(CODES)))) == values


# ---- encoding --------------------------------------------------------------------------------------------------------


def expected(sample: int, bits: int, decisions: list[int], code: Callable[[int, bool], int], mirrored: int) -> int:
    """The code of the interval that a sample, cut to ``bits``, lies in. What is too loud lies in the last.

    ``mirrored``: by how much a negative one is moved before its size is taken.
    """
    value = sample >> (16 - bits)
    negative = value < 0
    size = min(-value - mirrored if negative else value, decisions[-1] - 1)
    return code(bisect_right(decisions, size) - 1, negative)


def test_every_sample_is_encoded_into_the_interval_it_lies_in() -> None:
    """A-law takes a negative value's one's complement: intervals reach from just above a decision value to it."""
    for law, bits, decisions, code, mirrored in (
        (slin_to_alaw, 13, alaw_decisions(), alaw_code, 1),
        (slin_to_ulaw, 14, ulaw_decisions(), ulaw_code, 0),
    ):
        of_value: dict[int, set[int]] = {}
        for sample, encoded in zip(SAMPLES, law(SAMPLES.tobytes()), strict=True):
            of_value.setdefault(sample >> (16 - bits), set()).add(encoded)
        for value, encoded_as in of_value.items():
            assert encoded_as == {expected(value << (16 - bits), bits, decisions, code, mirrored)}, (law, value)


@pytest.mark.parametrize(
    ("encode", "decode", "cut"), [(slin_to_alaw, alaw_to_slin, 8), (slin_to_ulaw, ulaw_to_slin, 4)]
)
def test_a_sample_changes_by_half_a_step_and_the_bits_that_are_cut(
    encode: Callable[[bytes], bytes], decode: Callable[[bytes], bytes], cut: int
) -> None:
    values = sorted(set(array("h", decode(CODES))))
    largest = values[-1]
    heard = array("h", decode(encode(SAMPLES.tobytes())))
    for sample, result in zip(SAMPLES, heard, strict=True):
        if abs(sample) > largest:
            assert abs(result) == largest
        else:
            # Segments' steps double: a 32nd of the value at the most, and that of the first segment at the least.
            assert abs(result - sample) <= max(abs(sample) / 32, cut) + 2 * cut


def test_louder_is_never_encoded_as_quieter() -> None:
    for encode, decode in ((slin_to_alaw, alaw_to_slin), (slin_to_ulaw, ulaw_to_slin)):
        heard = array("h", decode(encode(SAMPLES.tobytes())))
        assert all(lower <= higher for lower, higher in pairwise(heard))


def test_codes_come_back_as_they_were() -> None:
    assert slin_to_alaw(alaw_to_slin(CODES)) == CODES
    assert slin_to_ulaw(ulaw_to_slin(CODES)) == CODES.replace(b"\x7f", b"\xff")


@given(st.binary(max_size=99).filter(lambda data: len(data) % 2 == 1))
def test_half_a_sample_is_refused(data: bytes) -> None:
    for encode in (slin_to_alaw, slin_to_ulaw):
        with pytest.raises(ValueError, match="whole number"):
            encode(data)
