"""A registry that cannot be used is refused whole, naming everything that is wrong."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.app.village import branch, genesis, meter_entry, signer
from validator.app.registry import BadRegistry, Registry
from wire.errors import Malformed

SMALL_ORDER = "eddsa:" + (1).to_bytes(32, "little").hex()


def change(kind: str, index: int, **values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: content[kind][index].update(values)


def drop(kind: str, index: int, name: str) -> Callable[[dict[str, Any]], object]:
    return lambda content: content[kind][index].pop(name)


def append(kind: str, value: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: content[kind].append(value)


LOOSE = [branch("bus", "n1"), branch("n2", "n3")]
RING = [branch("bus", "n1"), branch("n1", "n2"), branch("n2", "bus"), branch("n2", "n3")]

FAULTS = [
    (drop("meters", 1, "node"), "meter c1: node is missing"),
    (change("meters", 1, colour="red"), "meter c1: colour is unknown"),
    (append("meters", "c9"), "meter 5: not an object"),
    (append("meters", meter_entry("c1", "n1", "customer")), "meter c1: registered twice"),
    (change("meters", 1, id="a b"), "meter a b: id: not an identifier"),
    (change("meters", 1, id="x" * 21), "id: not an identifier of 1 to 20"),
    (change("meters", 1, role="spy"), "meter c1: role: not boundary, customer or source"),
    (change("meters", 1, key="es256:00"), "meter c1: a key of algorithm -7"),
    (change("meters", 1, key=SMALL_ORDER), "meter c1: an Ed25519 key of small order"),
    (change("meters", 1, key=signer("c2").public.text), "a key stands 2 times"),
    (change("meters", 1, key=signer("gw-a").public.text), "a key stands 2 times"),
    (change("meters", 1, zone="z9"), "meter c1: unknown zone 'z9'"),
    (change("meters", 1, reader="gw-z"), "meter c1: unknown reader 'gw-z'"),
    (change("meters", 1, node="n9"), "zone z1: no branch reaches node n9 of meter c1"),
    (change("meters", 0, node="n1"), "zone z1: boundary meter b0 is not at the root bus"),
    (change("meters", 1, configuration_id="12"), "meter c1: configuration_id: not 16 hex"),
    (change("meters", 1, software="zz"), "meter c1: software: not 8 hex"),
    (change("meters", 1, class_ppm=[]), "meter c1: class_ppm: begins at load 0"),
    (change("meters", 1, class_ppm=[[50, 1]]), "meter c1: class_ppm: begins at load 0"),
    (change("meters", 1, class_ppm=[[0, 2], [0, 1]]), "meter c1: class_ppm: begins at load 0"),
    (change("meters", 1, rating_w=0), "meter c1: rating_w: must not be 0"),
    (change("meters", 1, rating_w=True), "meter c1: rating_w: not an integer"),
    (change("meters", 1, register_wh=0), "meter c1: register_wh: must not be 0"),
    (change("meters", 1, phases=2), "meter c1: phases: not 1 or 3"),
    (change("meters", 1, site=[0]), "meter c1: site: not an array of 2"),
    (change("meters", 1, site=[900_000_001, 0]), "meter c1: latitude: beyond a pole"),
    (change("meters", 4, installed_w=0), "meter pv: a source has an installed_w"),
    (change("gateways", 0, operator="MEA"), "gateway gw-a: operator 'MEA' is no registered"),
    (change("gateways", 0, zones=["z9"]), "gateway gw-a: unknown zone 'z9'"),
    (change("gateways", 0, zones=[]), "meter c1: its reader gw-a does not serve its zone"),
    (change("gateways", 0, site_cos_ppm=1_000_001), "gateway gw-a: site_cos_ppm: not an"),
    (change("zones", 0, operator="MEA"), "zone z1: operator 'MEA' is no registered"),
    (change("zones", 0, parent="z9"), "zone z1: unknown parent 'z9'"),
    (change("zones", 0, parent="z1"), "zone z1: it is its own ancestor"),
    (change("zones", 0, branches=LOOSE), "zone z1: the branches are not a tree"),
    (change("zones", 0, branches=RING), "zone z1: the branches are not a tree"),
    (change("zones", 0, branches=[{}]), "zone z1: from is missing"),
    (append("unmetered", {}), "unmetered load 0: an unmetered load has"),
    (change("authorities", 0, key=""), "authority PEA: not a key in text form"),
]


@pytest.mark.parametrize(("edit", "words"), FAULTS, ids=[words for _, words in FAULTS])
def test_a_fault_of_the_registry_is_named(
    edit: Callable[[dict[str, Any]], object], words: str
) -> None:
    with pytest.raises(BadRegistry) as caught:
        Registry.of(genesis(edit))
    assert words in str(caught.value)


def test_all_faults_are_named_at_once() -> None:
    def edit(content: dict[str, Any]) -> None:
        content["meters"][1]["phases"] = 2
        content["gateways"][1]["radius_m"] = -1
        content["zones"][0]["p0_mw"] = "much"

    with pytest.raises(BadRegistry) as caught:
        Registry.of(genesis(edit))
    assert len(caught.value.faults) == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("reach_m", "1", id="no integer"),
        pytest.param("reach_m", -1, id="below 0"),
        pytest.param("class_k_den", 0, id="division by 0"),
        pytest.param("a0_ppm", 1_000_001, id="more than the whole"),
        pytest.param("interval_s", 700, id="no part of an hour"),
        pytest.param("bridge_wait_s", 10**9 + 1, id="beyond what the ledger can hold"),
    ],
)
def test_a_parameter_out_of_range_is_refused(name: str, value: Any) -> None:
    with pytest.raises(Malformed, match=name):
        Registry.of(genesis(lambda content: content["parameters"].update({name: value})))


def test_branches_may_be_written_from_either_end() -> None:
    def turn(content: dict[str, Any]) -> None:
        for each in content["zones"][0]["branches"]:
            each["from"], each["to"] = each["to"], each["from"]
        content["zones"][0]["branches"].reverse()

    assert Registry.of(genesis(turn)).feeders["z1"].lines == (
        Registry.of(genesis()).feeders["z1"].lines
    )


def test_the_parameters_hash_changes_with_the_zone_and_its_meters_only() -> None:
    known = Registry.of(genesis()).feeders["z1"].parameters_hash
    assert (
        Registry.of(genesis(change("gateways", 0, radius_m=1))).feeders["z1"].parameters_hash
        == known
    )
    for edit in (change("meters", 1, rating_w=9_000), change("zones", 0, p0_mw=1)):
        assert Registry.of(genesis(edit)).feeders["z1"].parameters_hash != known
