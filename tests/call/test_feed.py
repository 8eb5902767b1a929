"""Feeds: whatever those do who follow one source, each gets all of it that its queue could hold, in order."""

from __future__ import annotations

import gc

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from voxtra_core.call import Feed, Feeds, Pending
from voxtra_core.errors import LocalProtocolError


@attrs.define(eq=False)
class Follower:
    """A feed, and what it ought to hold."""

    feed: Feed[int]
    limit: int
    expected: list[int] = attrs.field(factory=list)
    dropped: int = 0
    closed: bool = False
    waiting: list[Pending[None]] = attrs.field(factory=list)


class FeedProperties(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.source = Feeds[int]()
        self.followers: list[Follower] = []
        self.happened = 0
        self.over = False

    def some(self, data: st.DataObject) -> Follower:
        return data.draw(st.sampled_from(self.followers))

    @precondition(lambda self: not self.over and len(self.followers) < 4)
    @rule(limit=st.integers(1, 4))
    def somebody_follows(self, limit: int) -> None:
        self.followers.append(Follower(self.source.follow(limit), limit))

    @rule(times=st.integers(1, 6))
    def something_happens(self, times: int) -> None:
        for _ in range(times):
            self.happened += 1
            self.source.put(self.happened)
            for follower in self.followers:
                if not follower.closed:
                    follower.expected.append(self.happened)
                    surplus = len(follower.expected) - follower.limit
                    if surplus > 0:
                        del follower.expected[:surplus]
                        follower.dropped += surplus

    @precondition(lambda self: self.followers)
    @rule(data=st.data())
    def one_waits(self, data: st.DataObject) -> None:
        """And takes nothing yet: cancelled now, it has lost nothing."""
        follower = self.some(data)
        follower.waiting.append(follower.feed.ready())

    @precondition(lambda self: any(follower.expected for follower in self.followers))
    @rule(data=st.data())
    def one_takes(self, data: st.DataObject) -> None:
        follower = data.draw(st.sampled_from([follower for follower in self.followers if follower.expected]))
        assert follower.feed.take() == follower.expected.pop(0)
        follower.waiting.clear()

    @precondition(lambda self: self.followers)
    @rule(data=st.data())
    def one_closes(self, data: st.DataObject) -> None:
        follower = self.some(data)
        follower.feed.close()
        follower.closed = True
        follower.expected.clear()

    @precondition(lambda self: self.followers)
    @rule(data=st.data())
    def one_forgets_it(self, data: st.DataObject) -> None:
        self.followers.remove(self.some(data))

    @rule()
    def the_source_ends(self) -> None:
        self.over = True
        self.source.end()
        for follower in self.followers:
            follower.closed = True

    @invariant()
    def each_has_its_own(self) -> None:
        for follower in self.followers:
            assert len(follower.feed) == len(follower.expected)
            assert follower.feed.dropped == follower.dropped
            assert follower.feed.is_over == (follower.closed and not follower.expected)
            is_ready = bool(follower.expected) or follower.closed
            assert follower.feed.ready().done == is_ready
            assert all(pending.done or not is_ready for pending in follower.waiting)

    @invariant()
    def what_is_forgotten_is_gone(self) -> None:
        gc.collect(0)
        assert len(self.source) == (0 if self.over else len(self.followers))


TestFeeds = FeedProperties.TestCase
TestFeeds.settings = settings(max_examples=100, stateful_step_count=30)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_feed_holds_something(limit: int) -> None:
    with pytest.raises(ValueError, match=f"limit must be 1 or more, not {limit}"):
        Feeds[int]().follow(limit)


def test_several_may_wait_for_one_item() -> None:
    """Each is woken, and one of them has to wait again."""
    feed = Feed[str]()
    first, second = feed.ready(), feed.ready()
    feed.put("a")
    assert first.done
    assert second.done
    assert feed.take() == "a"
    assert not feed.ready().done
    with pytest.raises(LocalProtocolError):
        feed.ready().result()
