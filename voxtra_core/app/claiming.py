"""Which of the calls that ``StasisBroadcast`` offers to a pool an application claims.

All that a route is for, unless the application's ``on_offer`` hook passes. A plain hook is called at once. An async one
runs in a task, and what it says counts only while it can matter: for :data:`PATIENCE`, and while the application takes
calls. No more than :data:`MAX_UNDECIDED` run at a time; what is offered beyond that is passed, counted and logged.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction

import attrs

from ..call import Counters, Pending
from ..effects import LogLevel
from ..errors import AriError, LinkError, VoxtraError
from ..session import Driver
from ..stasis import CallOffer, ClaimOutcome, StasisMachine
from .routing import OfferHook, Router

__all__ = ["MAX_UNDECIDED", "PATIENCE", "Claiming"]

PATIENCE = 60.0
"""Seconds that a hook may take: the longest that ``StasisBroadcast`` waits. Its default is half a second."""
MAX_UNDECIDED = 100
"""How many hooks may run at a time."""
TOLD_ONCE = frozenset({403, 501})
"""What refuses every claim alike: a user that may only read, and ``res_stasis_broadcast`` that is not loaded."""


@attrs.frozen(eq=False)
class _Question:
    """An offer about which a hook is thinking."""

    stasis: StasisMachine
    offer: CallOffer


class Claiming:
    """Claims, passes, or asks the hook and then does either.

    ``knows_number``: the dialled number is the dialplan's extension; else it is not known before the call has come.
    ``takes_calls()`` says whether the application does, at this moment. ``start_task(name, function)`` runs a function
    in a task and returns its number; ``cancel_task(number)`` and ``log(level, message, error)`` do what they say.
    """

    def __init__(
        self,
        router: Router,
        driver: Driver,
        *,
        knows_number: bool,
        takes_calls: Callable[[], bool],
        start_task: Callable[[str, Callable[[], Awaitable[None]]], int],
        cancel_task: Callable[[int], None],
        log: Callable[[LogLevel, str, BaseException | None], None],
        counters: Counters,
    ) -> None:
        self._router = router
        self._driver = driver
        self._knows_number = knows_number
        self._takes_calls = takes_calls
        self._start_task = start_task
        self._cancel_task = cancel_task
        self._write = log
        self._counters = counters
        self._asked: dict[int, _Question] = {}
        """By the task in which the hook runs."""
        self._deadlines: dict[_Question, float] = {}
        """Of the questions whose answer still counts; the earliest first, as all have the same patience."""
        self._passed_over = 0
        self._told: set[int] = set()

    # ---- inputs ----------------------------------------------------------------------------------------------------

    def offered(self, stasis: StasisMachine, offer: CallOffer, now: float) -> None:
        """A call waits for an application to claim it."""
        if not self._takes_calls():
            self._counters.offers_passed += 1
            return
        hook = self._router.offer_hook
        if not self._router.may_find(offer.called_number, offer.called_number if self._knows_number else None):
            self._counters.offers_passed += 1
            self._log(LogLevel.DEBUG, f"call {offer.id} was offered and passed: no route for it")
        elif hook is None:
            self._claim(stasis, offer, now)
        elif iscoroutinefunction(hook) or iscoroutinefunction(type(hook).__call__):
            self._ask(_Question(stasis, offer), hook, now)
        else:
            try:
                answer = hook(offer)
            except Exception as error:
                self._counters.offers_passed += 1
                self._failed(offer, error)
                return
            self._decide(stasis, offer, answer, now)

    def task_done(self, task: int) -> None:
        """A task has ended, whichever way, and whosever it was."""
        question = self._asked.pop(task, None)
        if question is not None:
            self._give_up(question)

    def handle_timeout(self, now: float) -> None:
        """Give up the hooks that have taken too long."""
        for task, question in self._asked.items():
            deadline = self._deadlines.get(question)
            if deadline is not None and deadline <= now:
                self._give_up(question)
                self._cancel_task(task)
                self._log(
                    LogLevel.WARNING,
                    f"call {question.offer.id} was offered and passed: on_offer took {PATIENCE:g} s",
                )

    def next_deadline(self) -> float | None:
        """When a hook will have taken too long, or ``None``."""
        return next(iter(self._deadlines.values()), None)

    def withdraw(self, stasis: StasisMachine | None = None) -> None:
        """The application takes no more calls, or this one has lost its link, and with it what it was offered: no
        answer counts any more, and the hooks that run are cancelled.
        """
        for task, question in self._asked.items():
            if stasis in {None, question.stasis} and self._give_up(question):
                self._cancel_task(task)

    # ---- the inside ------------------------------------------------------------------------------------------------

    def _ask(self, question: _Question, hook: OfferHook, now: float) -> None:
        if len(self._asked) >= MAX_UNDECIDED:
            if not self._passed_over:
                self._log(
                    LogLevel.WARNING,
                    f"call {question.offer.id} was offered and passed, as are all that follow: {MAX_UNDECIDED} "
                    f"on_offer hooks are running",
                )
            self._passed_over += 1
            self._counters.offers_passed += 1
            return
        if self._passed_over:
            self._log(LogLevel.WARNING, f"on_offer is asked again; {self._passed_over} offers were passed")
            self._passed_over = 0
        task = self._start_task(f"on_offer of {question.offer.id}", lambda: self._await(question, hook))
        self._asked[task] = question
        self._deadlines[question] = now + PATIENCE

    def _give_up(self, question: _Question) -> bool:
        """Its answer does not count any more, and the offer is passed; ``False`` where it did not count before."""
        if self._deadlines.pop(question, None) is None:
            return False
        self._counters.offers_passed += 1
        return True

    async def _await(self, question: _Question, hook: OfferHook) -> None:
        try:
            answer = hook(question.offer)
            if isinstance(answer, Awaitable):
                answer = await answer
        except Exception as error:
            self._give_up(question)
            self._failed(question.offer, error)
        else:
            if self._deadlines.pop(question, None) is not None:
                self._decide(question.stasis, question.offer, answer, self._driver.time())
        self._driver.wake()

    def _decide(self, stasis: StasisMachine, offer: CallOffer, answer: object, now: float) -> None:
        if answer is True and self._takes_calls():
            self._claim(stasis, offer, now)
            return
        self._counters.offers_passed += 1
        if isinstance(answer, bool):
            self._log(LogLevel.DEBUG, f"call {offer.id} was offered and passed")
        else:
            self._failed(
                offer,
                TypeError(f"on_offer must return a bool, or be an async function that does, and returned {answer!r}"),
            )

    def _failed(self, offer: CallOffer, error: Exception) -> None:
        self._log(LogLevel.ERROR, f"call {offer.id} was offered and passed: on_offer failed", error)

    def _claim(self, stasis: StasisMachine, offer: CallOffer, now: float) -> None:
        outcome = stasis.claim(offer, now)
        outcome.add_waker(lambda: self._claimed(offer, outcome))

    def _claimed(self, offer: CallOffer, outcome: Pending[ClaimOutcome]) -> None:
        try:
            self._log(LogLevel.DEBUG, f"call {offer.id} was offered, and our claim: {outcome.result()}")
        except LinkError as error:  # of which whoever runs the application is told
            self._log(LogLevel.DEBUG, f"call {offer.id} was offered, and our claim was lost: {error}")
        except VoxtraError as error:
            level = LogLevel.WARNING
            if isinstance(error, AriError) and error.status in TOLD_ONCE:
                level = LogLevel.DEBUG if error.status in self._told else LogLevel.WARNING
                self._told.add(error.status)
            self._log(level, f"call {offer.id} was offered, and could not be claimed: {error}")

    def _log(self, level: LogLevel, message: str, error: BaseException | None = None) -> None:
        self._write(level, message, error)
