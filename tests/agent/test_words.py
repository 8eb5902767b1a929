"""How many words: counted where there are spaces, and estimated elsewhere."""

# ruff: noqa: RUF001  (the letters of other scripts are meant)

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from voxtra_core.agent.words import WORD, word_count


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        ("… ?! 。", 0),
        ("Yes.", 1),
        ("Well, I don't know: twenty-one?", 5),
        ("Да, конечно", 2),
        ("예 알겠습니다", 2),
        ("كيف حالك؟", 2),
        ("好", 1),
        ("你好。", 1),
        ("我想取消我的预约，谢谢", 5),
        ("はい、そうです。", 3),
        ("iPhoneを買いたい", 4),
        ("３番", 1),
        ("３", 1),
        ("ครับ", 1),
        ("ขอโทษครับ", 2),
        ("ฉันต้องการยกเลิกการนัดหมาย", 6),
        ("ဟုတ်ကဲ့", 1),
    ],
)
def test_how_many_there_are(text: str, words: int) -> None:
    assert word_count(text) == words


@given(st.text(st.characters() | st.sampled_from("３ー々ๆำ်_＿a字ก")))
@example("３")
@example("＿")
def test_there_are_some_exactly_where_there_is_a_letter_or_a_digit(text: str) -> None:
    assert bool(word_count(text)) == bool(WORD.search(text))


@given(st.text(), st.text())
def test_more_text_has_no_fewer(text: str, more: str) -> None:
    assert word_count(f"{text} {more}") >= word_count(text)
