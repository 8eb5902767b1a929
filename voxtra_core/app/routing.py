"""Which handler a call goes to, and whether one that is offered is wanted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from copy import deepcopy
from typing import Any

import attrs

from ..session import CallSession
from ..stasis import CallOffer

__all__ = ["Handler", "OfferHook", "Route", "Router"]

Handler = Callable[[CallSession], Awaitable[None]]
OfferHook = Callable[[CallOffer], bool | Awaitable[bool]]


@attrs.frozen
class Route:
    """One handler, and the calls it is for."""

    handler: Handler
    extension: str | None = None
    number: str | None = None
    metadata: Mapping[str, Any] = attrs.field(factory=dict)

    def copy_metadata(self) -> dict[str, Any]:
        """A copy for one call, which no other call sees. Raises whatever a value raises that cannot be copied."""
        return deepcopy(dict(self.metadata))


class Router:
    """Routes in the order they were added; the first that fits wins; the default takes the rest."""

    def __init__(self) -> None:
        self._routes: list[Route] = []
        self._default: Route | None = None
        self.offer_hook: OfferHook | None = None
        """What decides whether a call that is offered is claimed; without one all are that a route is for."""

    def add(self, route: Route) -> None:
        """Add a route for exactly one of an extension and a number, not used before; else ``ValueError``."""
        _check_metadata(route)
        if (route.extension is None) == (route.number is None):
            raise ValueError("a route is for an extension= or for a number=, one of them")
        if any((r.extension, r.number) == (route.extension, route.number) for r in self._routes):
            raise ValueError(f"there is a route for {route.extension or route.number!r} already")
        self._routes.append(route)

    def set_default(self, route: Route) -> None:
        """The route for calls that no other is for; ``ValueError`` if there is one already."""
        _check_metadata(route)
        if self._default is not None:
            raise ValueError("there is a default handler already")
        self._default = route

    def set_offer_hook(self, hook: OfferHook) -> None:
        """Set it; ``ValueError`` if there is one already."""
        if self.offer_hook is not None:
            raise ValueError("there is an on_offer hook already")
        self.offer_hook = hook

    def find(self, extension: str, number: str) -> Route | None:
        """The route for a call that came in on ``extension``, for ``number``."""
        for route in self._routes:
            if route.extension == extension if route.extension is not None else route.number == number:
                return route
        return self._default

    def may_find(self, extension: str, number: str | None) -> bool:
        """Whether there is a route for a call; ``number`` is ``None`` where it is not known yet."""
        if number is None and any(route.number is not None for route in self._routes):
            return True
        return self.find(extension, number or "") is not None


def _check_metadata(route: Route) -> None:
    try:
        route.copy_metadata()
    except Exception as error:
        raise ValueError(
            f"metadata is copied for each call, and this cannot be ({error}): keep what calls share somewhere else"
        ) from error
