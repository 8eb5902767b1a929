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
    muting,
    placed,
    played,
    queueing,
    recordings,
    refused,
    snooping,
    snoops_in_bridges,
    transfers,
    variables,
)
from tests.fidelity.stage import Scenario, scenarios_of

__all__ = ["SCENARIOS"]

SCENARIOS: Final[list[Scenario]] = scenarios_of(
    calls=calls,
    placed=placed,
    played=played,
    muting=muting,
    queueing=queueing,
    variables=variables,
    bridged=bridged,
    bridge_hearers=bridge_hearers,
    bridge_prompts=bridge_prompts,
    bridge_recordings=bridge_recordings,
    snooping=snooping,
    snoops_in_bridges=snoops_in_bridges,
    recordings=recordings,
    audiosocket=audiosocket,
    transfers=transfers,
    applications=applications,
    refused=refused,
)
