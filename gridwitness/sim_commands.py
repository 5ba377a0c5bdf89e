"""`gridwitness sim`: the simulators of all rooms under one command."""

import argparse

from hwsim import cli as equipment
from validator.simulation import cli as agreement
from validator.simulation import exhaustive_cli


def add_commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `sim` with the test equipment and the simulated agreement."""
    simulators = equipment.add_commands(subparsers)
    agreement.add_consensus_command(simulators)
    agreement.add_twins_command(simulators)
    exhaustive_cli.add_exhaustive_command(simulators)
    agreement.add_latency_command(simulators)
