"""Real networks for the node's tests, one for each module that asks for one.

A module says what it needs: `PACED = True` for time that the test paces, `PARAMETERS` for genesis
parameters, `STARTED` for who runs when its first test begins (all).
"""

from collections.abc import Iterator

import pytest

from tests.node.town import GatewayClient, Town


@pytest.fixture(scope="module")
def town(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Town]:
    """A broker and validators that run."""
    paced: bool = getattr(request.module, "PACED", False)
    parameters: dict[str, int] = getattr(request.module, "PARAMETERS", {})
    town = Town(tmp_path_factory.mktemp("town"), paced=paced, **parameters)
    if paced:
        town.stand(0)
    try:
        town.broker.start()
        town.start(*getattr(request.module, "STARTED", town.names))
        yield town
    finally:
        town.close()


@pytest.fixture(scope="module")
def gateway(town: Town) -> Iterator[GatewayClient]:
    """The village's gateway at its broker."""
    gateway = GatewayClient(town)
    yield gateway
    gateway.leave()
