"""OpenAPI is true: whatever schemathesis asks, no answer is undocumented and none is a 500."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

from tests.node.office import Bureau

schemathesis = pytest.importorskip("schemathesis")
from schemathesis.specs.openapi.checks import (  # noqa: E402
    ignored_auth,
    negative_data_rejection,
    positive_data_acceptance,
)

EXAMPLES = 6
"""Of each operation, and as many that break its schema; more of them found nothing more."""

KNOWN = {
    "meter": "c1",
    "zone": "z1",
    "height": 1,
    "sequence": 0,
    "table": "gateways",
    "name": "gw-a",
    "address": "PEA",
}
"""Values that there are: of random names all are unknown."""

PRIVATE = ("/api/v1/readings", "/api/v1/receipts", "/api/v1/zones")
ENDLESS = {"/api/v1/events"}


@schemathesis.serializer("application/cbor")  # type: ignore[untyped-decorator]
def octets(_context: Any, value: Any) -> bytes:
    """Octets as they stand; schemathesis knows no CBOR."""
    return value.data if hasattr(value, "data") else str(value).encode()


@pytest.fixture(scope="module", params=[True, False], ids=["open", "private"])
def network(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Any, bool]]:
    """The schema of a network, and whether its readings are open."""
    folder = tmp_path_factory.mktemp("schema")
    bureau = Bureau(folder, open_readings=request.param)
    bureau.grow(2)
    schema = schemathesis.openapi.from_asgi("/openapi.json", bureau.pages.guarded)
    yield schema, request.param
    bureau.close()


def operations(schema: Any) -> Iterator[Any]:
    for each in schema.get_all_operations():
        operation = each.ok()
        if operation.path not in ENDLESS:
            yield operation


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
def test_every_answer_is_one_that_openapi_names(network: tuple[Any, bool], mode: Any) -> None:
    asked, positive = 0, mode is schemathesis.GenerationMode.POSITIVE
    schema, is_open = network
    for operation in operations(schema):
        if not is_open and not operation.path.startswith(PRIVATE):
            continue
        if not positive and not has_input(operation):
            continue

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
        def ask(case: Any, known: bool) -> None:
            nonlocal asked
            asked += 1
            for name in KNOWN.keys() & case.path_parameters.keys() if known and positive else ():
                case.path_parameters[name] = KNOWN[name]
            case.call_and_validate(excluded_checks=excluded(case.operation.path, is_open))

        with contextlib.suppress(Unsatisfiable):  # Nothing breaks a path that takes all text.
            ask()
    assert asked > (100 if is_open else 20)


def excluded(path: str, is_open: bool) -> list[Any]:
    """What cannot be expected: no schema tells a signature; JSON-RPC tells its faults with 200."""
    told = {"/api/v1/transactions": [positive_data_acceptance], "/rpc": [negative_data_rejection]}
    return told.get(path, []) + [ignored_auth] * is_open


def has_input(operation: Any) -> bool:
    return bool(list(operation.iter_parameters()) or operation.body)
