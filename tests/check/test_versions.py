"""The table of what works from which Asterisk on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docs.versions_table import markdown
from voxtra_core.app.versions import CALLS, FEATURES, SERIES, Feature, Version

API = Path(__file__).parents[1] / "ari" / "generate"

features = st.sampled_from(list(FEATURES.values()))
versions = st.builds(Version, st.integers(13, 30), st.integers(0, 40), st.integers(0, 9))


@given(
    versions,
    st.sampled_from(["", "certified/", "certified-", "Asterisk ", "GIT-"]),
    st.sampled_from(["", "-cert5", "-rc1", "+dfsg+~cs6.17.60671434-1", "~dfsg-0+deb11u4", " simulated"]),
)
def test_a_release_is_found_in_whatever_surrounds_it(version: Version, before: str, after: str) -> None:
    assert Version.found_in(f"{before}{version}{after}") == version


@pytest.mark.parametrize(
    "text", ["", "GIT-master-5a3f21c", "GIT-22-5a3f21c", "UNKNOWN__and_probably_unsupported", "22"]
)
def test_none_is_found_where_none_is_named(text: str) -> None:
    assert Version.found_in(text) is None


@given(features, versions, versions)
def test_what_works_goes_on_working_in_a_series(feature: Feature, one: Version, other: Version) -> None:
    earlier, later = sorted([Version(one.major, one.minor, one.patch), Version(one.major, other.minor, other.patch)])
    assert feature.works_on(earlier) <= feature.works_on(later)


@given(features, st.integers(13, 30))
def test_the_first_release_of_a_series_that_has_it_is_the_first_on_which_it_works(
    feature: Feature, series: int
) -> None:
    first = feature.first_in(series)
    if first is None:
        assert not feature.works_on(Version(series, 9999, 9999))
        return
    assert feature.works_on(first)
    if first.patch:
        assert not feature.works_on(Version(series, first.minor, first.patch - 1))
    elif first.minor:
        assert not feature.works_on(Version(series, first.minor - 1, 9999))


def test_what_came_late_in_old_series_is_in_every_new_one() -> None:
    rest = FEATURES["rest-over-websocket"]
    told = {str(version): rest.works_on(version) for version in map(Version.found_in, RELEASES) if version}
    assert told == {
        "16.28": False,
        "20.13": False,
        "20.14": True,
        "20.15.1": True,
        "21.8": False,
        "21.9": True,
        "22.3": False,
        "22.4": True,
        "23.0": True,
    }


RELEASES = "16.28.0 20.13.0 20.14.0 20.15.1 21.8.0 21.9.0 22.3.0 22.4.0 23.0.0".split()


def test_every_release_that_the_api_description_names_stands_in_the_table() -> None:
    """``since`` in Asterisk's description of operations and models, against the features' own."""
    named = set(since_in(json.loads((API / "operations.json").read_text())))
    named |= set(since_in(json.loads((API / "models.json").read_text())))
    assert len(named) > 5
    assert named <= {feature.since for feature in FEATURES.values()}


def since_in(value: object) -> Iterator[tuple[Version, ...]]:
    """Every list of releases below ``since``."""
    match value:
        case dict():
            for key, content in value.items():
                if key == "since" and isinstance(content, list) and content:
                    yield tuple(version for version in map(Version.found_in, content) if version)
                else:
                    yield from since_in(content)
        case list():
            for content in value:
                yield from since_in(content)


def test_the_table_is_well_formed() -> None:
    for name, feature in FEATURES.items():
        assert name == feature.name
        assert name.replace("-", "").isalpha()
        assert list(feature.since) == sorted(feature.since)
        assert len({first.major for first in feature.since}) == len(feature.since)
        assert not any(module.endswith(".so") for module in feature.modules)
    assert next(iter(FEATURES)) == CALLS.name
    assert all(CALLS.works_on(Version(series, 0)) for series in SERIES)


def test_the_documentation_shows_the_first_release_of_each_series() -> None:
    features = [
        Feature("new", "What is *new*", (Version(20, 14), Version(22, 4, 1))),
        Feature("old", "What is old", (Version(16, 0),)),
    ]
    assert markdown(features, (16, 20, 21, 22, 23)).splitlines() == [
        "|  | 16 | 20 | 21 | 22 | 23 | `check --needs` |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| What is *new* | – | 20.14 | – | 22.4.1 | yes | `new` |",
        "| What is old | yes | yes | yes | yes | yes | `old` |",
    ]
