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
UNFIT_READER = Row(
    "P-25",
    1,
    "Gateway {reader} reads no meter in zone {zone}: {why}.",
    "check --reader and --zone. A gateway that is new has to be registered first (`gridwitness"
    " registry prepare add-gateway`); one that was registered since the genesis file a"
    " validator knows: --validator",
)
UNFIT_TECHNICIAN = Row(
    "P-26",
    1,
    "The key {kid} is not the one that {technician} signs with: {why}.",
    "check --technician and --technician-key. A technician who is new has to be registered first"
    " (`gridwitness registry prepare add-technician`); one who was registered since the genesis"
    " file a validator knows: --validator",
)
FOREIGN_TECHNICIAN = Row(
    "P-27",
    1,
    "Technician {technician} works for {operator}, and zone {zone} is run by {runs}.",
    "check --zone. A meter is commissioned by a technician of its zone's operator",
)
OUT_OF_REACH = Row(
    "P-28",
    1,
    "The site is {apart} from gateway {reader} at {place}, and a line reaches {reach} m: its"
    " readings would be refused.",
    "check --site (degrees, LAT,LON) and --reader; or name a gateway that is nearer",
)
