"""Clients of a simulated network: they send transactions until every honest validator has them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from validator.simulation.network import Network
    from validator.simulation.nodes import Node

SUBMIT_MS = 700
"""So often there is a new transaction."""

AGAIN_MS = 5_000
"""So often it is sent again."""


class Clients:
    """All clients of one run."""

    def __init__(self, network: "Network") -> None:
        """Take whom they send to; `begin` starts."""
        self.sent: dict[str, int] = {}
        """When which transaction was first sent, virtual milliseconds."""
        self._network = network

    def begin(self) -> None:
        """Send a new transaction, and go on."""
        self.send(f"t{len(self.sent)}")
        self._network.time.after(SUBMIT_MS, self.begin)

    def send(self, name: str) -> None:
        """Send a transaction."""
        self.sent[name] = self._network.now_ms
        self._spread(name)

    def _spread(self, name: str) -> None:
        """Send it to everybody, as a broker does; some do not hear it before the network heals."""
        network, chance = self._network, self._network.random
        if all(name in node.taken for node in network.honest):
            return
        for node in network.nodes.values():
            if network.healed or chance.random() >= network.faults.loss:
                self._deliver(node, name, chance.randrange(1, network.faults.most_delay_ms))
        network.time.after(AGAIN_MS, lambda: self._spread(name))

    def _deliver(self, node: "Node", name: str, delay_ms: int) -> None:
        def take() -> None:
            if node.machine is not None and name not in node.taken:
                node.waiting[name] = None

        self._network.time.after(delay_ms, take)
