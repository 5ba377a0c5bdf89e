"""Whether the validator that answers at an address is the one of a configuration file.

A port can be another validator's, or one's of another network with the same id: its state is not
told as this file's.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from validator.config import ValidatorConfig
from wire.errors import Refused
from wire.genesis import Genesis


class AnotherValidator(Refused):
    """Who answers is not the validator that was asked for."""

    code = "another-validator"


def check_own(settings: ValidatorConfig, report: Mapping[str, Any], url: str) -> None:
    """Whether a report is of this file's validator; raises AnotherValidator."""
    who = f"another validator answers at {url}: {report['validator']} of {report['network']}"
    own = "Each needs an `api` address of its own"
    if report["validator"] != settings.id:
        raise AnotherValidator(f"{who}, not {settings.id}. {own}")
    genesis = _genesis(settings.genesis)
    if genesis is not None and report["network_id"] != genesis.network.hex():
        raise AnotherValidator(f"{who}, but this file is of {genesis.topic_name}. {own}")


def _genesis(path: Path) -> Genesis | None:
    """The network's genesis file; None without a good one, which `validator check` tells."""
    try:
        return Genesis.load(path)
    except (OSError, Refused):
        return None
