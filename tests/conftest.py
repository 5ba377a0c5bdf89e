"""Options of the whole suite."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--rewrite` writes golden files anew from what the code does; read the difference before committing it."""
    parser.addoption("--rewrite", action="store_true", help="write golden files anew")


@pytest.fixture
def rewrite(request: pytest.FixtureRequest) -> bool:
    """True when golden files are to be written anew."""
    return bool(request.config.getoption("--rewrite"))
