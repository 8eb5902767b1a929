"""All of them."""

from typing import Final

from tests.fidelity.scenes import (
    applications,
    audiosocket,
    bridged,
    calls,
    placed,
    played,
    recordings,
    refused,
    snooping,
    variables,
)
from tests.fidelity.stage import Scenario, scenarios_of

__all__ = ["SCENARIOS"]

SCENARIOS: Final[list[Scenario]] = scenarios_of(
    calls=calls,
    placed=placed,
    played=played,
    variables=variables,
    bridged=bridged,
    snooping=snooping,
    recordings=recordings,
    audiosocket=audiosocket,
    applications=applications,
    refused=refused,
)
