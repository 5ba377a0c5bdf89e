"""What of a meter does not fit what the network has registered: rows of the table in `faults`.

Decides the words only; whether something fits is decided in `registered`.
"""

from device.provision.fault import Row

METER_ENROLLED = Row(
    "P-13",
    1,
    "Meter {meter} is already enrolled with another key ({kid}) at {node}.",
    "check the nameplate. A board that replaces a meter has an id of its own: --replaces {meter}",
)
NODE_TAKEN = Row(
    "P-14",
    1,
    "Node {node} is already measured by {meters}.",
    "check --node. To exchange a meter: --replaces {first}. If they share the node: --shared-node",
)
REGISTRY_AWAY = Row(
    "P-15",
    1,
    "The validator at {url} does not answer: {why}.",
    "check the address, or go on without: the validators check again when the meter is enrolled",
    away=True,
)
BROKEN_GENESIS = Row(
    "P-16",
    1,
    "{path} cannot be read as a genesis file: {why}.",
    "give the network's genesis.json, or leave --genesis out",
)
NOT_REACHED = Row(
    "P-19",
    1,
    "No line of zone {zone} reaches node {node}: {why}.",
    "check --node, --zone and --role. A line that is new has to be registered first (`gridwitness"
    " registry prepare change-zone`); one that was registered since the genesis file a"
    " validator knows: --validator",
)
