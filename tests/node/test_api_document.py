"""docs/API.md names every route with its parameters and one example, and no other."""

import re
from pathlib import Path

import pytest

from tests.node.office import Bureau
from validator.api import events
from validator.api.doors import MOST_CONNECTIONS, MOST_OF_A_CLIENT, REQUEST_S, STUCK_S
from validator.api.events import HEARTBEAT_S, MOST_BACK, MOST_LISTENERS
from validator.api.guard import Limits
from validator.api.parameters import MOST
from validator.api.rpc import MOST_CALLS
from validator.api.transactions import SUBMISSIONS
from wire.access import VALID_S
from wire.transaction import MOST_BYTES

DOCUMENT = (Path(__file__).parents[2] / "docs/API.md").read_text()
PLACES = {"metrics": "/metrics"}
"""Routes that a validator has and a bureau has not."""


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], set[str]]:
    """Method and path of every route, with its query parameters."""
    bureau = Bureau(tmp_path_factory.mktemp("document"))
    paths = bureau.pages.app.openapi()["paths"]
    bureau.close()
    found = {
        (method.upper(), path): {
            each["name"] for each in about.get("parameters", []) if each["in"] == "query"
        }
        for path, methods in paths.items()
        for method, about in methods.items()
    }
    return found | {("GET", path): set() for path in PLACES.values()}


def named() -> dict[tuple[str, str], set[str]]:
    """What the document names in its tables and sentences."""
    found: dict[tuple[str, str], set[str]] = {}
    for method, path, query in re.findall(r"`(GET|POST) (/[^`?]*)(?:\?([^`]*))?`", DOCUMENT):
        found[method, path] = set(query.split("&")) - {""}
    return found


def test_the_document_names_the_routes_that_there_are(
    routes: dict[tuple[str, str], set[str]],
) -> None:
    assert named() == routes


def test_every_route_has_an_example(routes: dict[tuple[str, str], set[str]]) -> None:
    examples = [line for line in DOCUMENT.splitlines() if line.startswith("curl ")]
    used = [
        re.sub(r"\$\([^()]*\)+", "x", each).replace('"', " ").replace("'", " ") for each in examples
    ]
    for _, path in routes:
        pattern = re.sub(r"\\\{[^}]*\\\}", "[^/ ?]+", re.escape(f"$V{path}")) + r"( |\?|$)"
        assert any(re.search(pattern, each) for each in used), path


def test_every_method_of_json_rpc_is_named(tmp_path: Path) -> None:
    from validator.api import rpc_comet, rpc_qbft
    from validator.api.transactions import Office

    bureau = Bureau(tmp_path)
    methods = {
        *rpc_comet.methods(bureau.sources, Office(bureau.sources)),
        *rpc_qbft.methods(bureau.sources),
    }
    bureau.close()
    rows = [line for line in DOCUMENT.splitlines() if re.search(r"\| (CometBFT|Besu)", line)]
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row.rpartition(" | ")[0])}
    assert told == methods


def test_the_limits_are_those_of_the_code() -> None:
    limits = Limits()
    for words in (
        f"{limits.requests.per_s:.0f} requests a second and {limits.requests.at_once:.0f} at once",
        f"of these {limits.posts.per_s:.0f} and {limits.posts.at_once:.0f} with a body",
        f"{MOST_OF_A_CLIENT} connections, {events.MOST_OF_A_CLIENT} of them listening",
        f"of {limits.body_bytes // 1024} KiB, a transaction of {MOST_BYTES // 1024} KiB",
        f"whole within {REQUEST_S:.0f} s and a body within {limits.body_s:.0f} s",
        f"an answer is taken within {STUCK_S:.0f} s",
        f"{MOST_CONNECTIONS} connections, {MOST_LISTENERS} listeners",
        f"{SUBMISSIONS.per_s:.0f} transactions a second",
        f"at most {MOST:,}",
        f"at most {MOST_CALLS}",
        f"at most {VALID_S} from",
        f"every {HEARTBEAT_S:.0f} s",
        f"than {MOST_BACK:,} blocks",
    ):
        assert words.replace("\n", " ") in " ".join(DOCUMENT.split()), words
