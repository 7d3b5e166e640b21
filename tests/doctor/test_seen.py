"""What Envoy says is read whatever its shape: configured by a file or a control plane, old, new, or broken."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.attach.options import Attachment
from safeguards_extproc.doctor import examine
from safeguards_extproc.doctor.seen import duration, number, seen
from tests.attach.pasted import manager_of, static
from tests.doctor.paper import ADMIN, dump, on_paper

INFO = {"version": "9e5580/1.40.0/Clean/RELEASE/BoringSSL"}


def test_a_control_plane_s_configuration_is_read() -> None:
    """Dynamic listeners and clusters, routes by RDS: the same findings as from a file."""
    document, _ = static(Attachment(addresses=("unix:///run/a.sock",)))
    manager = manager_of(document)
    table = manager.pop("route_config")
    manager["rds"] = {"route_config_name": "models"}
    [listener] = document["static_resources"]["listeners"]
    found = {
        "configs": [
            {"@type": f"{ADMIN}.ListenersConfigDump", "dynamic_listeners": [{"active_state": {"listener": listener}}]},
            {
                "@type": f"{ADMIN}.ClustersConfigDump",
                "dynamic_active_clusters": [{"cluster": each} for each in document["static_resources"]["clusters"]],
            },
            {"@type": f"{ADMIN}.RoutesConfigDump", "dynamic_route_configs": [{"route_config": table}]},
        ]
    }
    read = seen(found, INFO)
    [chain] = read.chains
    assert ["models: /"] == [route.name for route in chain.routes]
    assert {"safeguards", "model_server"} == read.clusters.keys()
    assert {"no-host"} == {check.code for check, findings in examine(read) if findings}


def test_the_most_specific_setting_counts() -> None:
    """Route before host before table, and a weighted cluster's before them all."""
    document, _ = static(Attachment(addresses=("unix:///run/a.sock",)))
    table = manager_of(document)["route_config"]
    name = "envoy.filters.http.ext_proc"
    table["typed_per_filter_config"] = {name: {"disabled": True}}
    assert [True] == [_off(route) for route in on_paper(document).chains[0].routes]
    table["virtual_hosts"][0]["typed_per_filter_config"] = {name: {"overrides": {}}}
    assert [False] == [_off(route) for route in on_paper(document).chains[0].routes]
    [route] = table["virtual_hosts"][0]["routes"]
    route["route"]["weighted_clusters"] = {
        "clusters": [{"name": "a"}, {"name": "b", "typed_per_filter_config": {name: {"disabled": True}}}]
    }
    assert [False, True] == [_off(route) for route in on_paper(document).chains[0].routes]


def _off(route: Any) -> bool:
    return bool(route.per_filter["envoy.filters.http.ext_proc"].get("disabled"))


WHOLE = dump(static(Attachment(addresses=("unix:///run/a.sock",)))[0])
JUNK: st.SearchStrategy[object] = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.just([]) | st.just({}) | st.just([[]])
)


@pytest.mark.long
@given(st.data(), JUNK)
@settings(max_examples=150)
def test_nothing_that_envoy_says_can_raise(data: st.DataObject, junk: object) -> None:
    """One value of a true answer is replaced by something else, anywhere: the doctor still answers."""
    broken = copy.deepcopy(WHOLE)
    holder: Any = broken
    while True:
        keys = sorted(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = data.draw(st.sampled_from(keys))
        if not (isinstance(holder[key], dict | list) and holder[key]) or data.draw(st.integers(0, 6)) == 0:
            holder[key] = junk
            break
        holder = holder[key]
    assert examine(seen(broken, INFO, {"stats": junk}, {"cluster_statuses": junk}))


@pytest.mark.parametrize(
    ("said", "expected"), [("10s", 10.0), ("0.200s", 0.2), ("0s", 0.0), (None, 7.0), ("soon", 7.0), (3, 7.0)]
)
def test_durations(said: object, expected: float) -> None:
    """As protobuf's JSON writes them; a default for what is not there."""
    assert expected == duration(said, 7.0)


@pytest.mark.parametrize(("said", "expected"), [(5, 5), ("12", 12), (None, 7), (True, 7), ("-1", 7), (1.5, 7)])
def test_numbers(said: object, expected: int) -> None:
    """Large ones are strings in protobuf's JSON."""
    assert expected == number(said, 7)
