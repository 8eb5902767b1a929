"""All of them."""

from typing import Final

from tests.fidelity.scenes import (
    applications,
    audiosocket,
    bridge_hearers,
    bridge_prompts,
    bridge_recordings,
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
    bridge_hearers=bridge_hearers,
    bridge_prompts=bridge_prompts,
    bridge_recordings=bridge_recordings,
    snooping=snooping,
    recordings=recordings,
    audiosocket=audiosocket,
    applications=applications,
    refused=refused,
)
