"""`gridwitness sim`: the simulators of all rooms under one command."""

import argparse

from gridwitness import thousand, torment_cli
from hwsim import cli as equipment
from validator.simulation import cli as agreement
from validator.simulation import exhaustive_cli


def add_commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `sim`: the test equipment, the simulated agreement, real validators under faults."""
    simulators = equipment.add_commands(subparsers)
    agreement.add_consensus_command(simulators)
    agreement.add_twins_command(simulators)
    exhaustive_cli.add_exhaustive_command(simulators)
    agreement.add_latency_command(simulators)
    thousand.add_command(simulators)
    torment_cli.add_torment_command(simulators)
