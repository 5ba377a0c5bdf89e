"""The first gateway.toml: every key, in its unit, with the harm that a wrong value does.

Decides the text, which is the one place where keys are explained, and that a file is never written
over. What a key may hold is checked by `gateway.config`, which reads the file at once.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from string import Template as Text

from gateway import config
from gateway.config_table import BadConfiguration

_HEAD = Text("""\
# A GridWitness gateway. Paths count from this file's folder.
# Look at it with: gridwitness gateway check | doctor | scan | probe | read

# As registered. With another's id every batch is refused.
id = $id
# The network's genesis file. With another network's nothing is ever signed: other keys stand there.
genesis = $genesis
# Readings without a receipt: losing this file loses them. On a disk, never in /tmp.
spool = $spool
# Status page and metrics. On another host than 127.0.0.1 everybody sees them.
status = $status
# Folder of your own register templates, beside those that come with the gateway.
# templates = "templates"
# Wait for a disciplined clock before the first reading. With false its time may be wrong.
# wait_for_time = true
# Demos and tests only, whose network paces its own time.
# paced_time_file = ""

# Keys by their PKCS#11 URIs (RFC 7512). A PIN comes from a file or a credential, never from here.
[token]
# Signs batches. With a key that is not registered every batch is refused.
witness = $witness
# Signs readings of meters that cannot sign. With another key each of them is refused.
reader = $reader
# The keys that are to follow them (gridwitness hsm rotate). The registered one of the two signs.
# witness_next = ""
# reader_next = ""
# Signed changes of the registry (.gwt), in order: what added this gateway to a running network, a
# rotation of its keys (the one in force when it starts signs), new technicians and zones.
# changes = []
# SoftHSM's configuration; empty for other tokens.
softhsm2_conf = $softhsm2_conf

# The broker, by TLS.
[mqtt]
host = $mqtt_host
port = $mqtt_port
# Who vouches for the broker, PEM. With a wrong one there is no connection, and readings wait.
ca = $ca
# The gateway's own certificate, PEM; its common name is the id.
certificate = $certificate
# Its private key, PEM, readable by this user only.
key = $key

# Where the gateway stands. Validators compare it with the place that was registered: too far away,
# and readings are refused until it is right.
[place]
# Latitude and longitude, 1e-7 degrees.
lat_e7 = $lat_e7
lon_e7 = $lon_e7
# How well that is known, decimetres.
accuracy_dm = $accuracy_dm
# A gpsd that has a receiver; or a receiver that speaks NMEA 0183, and its bits per second.
# gpsd = "127.0.0.1:2947"
# nmea = "/dev/ttyACM0"
# nmea_baudrate = 9600

# A batch is closed at so many readings, 1 to 1000, or when its oldest one waited so long, seconds.
[batches]
max_readings = 500
# Long: receipts come late. 0: a batch for each reading, and a signature of the token.
max_wait_s = 60
""")

_RTU = Text("""
# Modbus RTU on a serial line.
[[bus]]
# For people and logs.
name = "line"
kind = "rtu"
# Take /dev/serial/by-path: numbers as in ttyUSB0 change when an adapter is plugged in again.
port = $port
# Bits per second. When this or one of the next two is wrong, nobody answers, or all is garbage.
baudrate = $baudrate
# none, even or odd.
parity = $parity
# 1 or 2.
stopbits = 1
# How long a meter may take, ms. Short: the living look dead. Long: the dead cost the others time.
timeout_ms = 500
""")

_TCP = Text("""
# Modbus TCP.
[[bus]]
# For people and logs.
name = "line"
kind = "tcp"
# Name or address of the meter, or of a gateway with an RS-485 line behind it.
host = $host
# Mostly 502.
tcp_port = $tcp_port
# How long a meter may take, ms. Short: the living look dead. Long: the dead cost the others time.
timeout_ms = 500
""")

_READOUT = Text("""
# Readouts of IEC 62056-21, by an optical head or a serial line.
[[bus]]
# For people and logs.
name = "head"
kind = "iec62056-21"
# Take /dev/serial/by-id: numbers as in ttyUSB0 change when a head is plugged in again.
port = $port
# sign-on: the gateway asks. push: the meter sends by itself.
mode = $mode
# Bits per second at the beginning: 300 for sign-on, what the meter sends with for push.
baudrate = $baudrate
# How long a whole readout may take, ms. At 300 baud a long one takes a minute.
timeout_ms = 10000
""")

_METER = Text("""
[[bus.meter]]
# As registered, and printed on the meter.
id = $id
# Its Modbus address, 1 to 247. With another meter's address, that one's energy is booked on this.
unit = $unit
# How to read it, see docs/METER-TEMPLATES.md; "gridwitness" for a meter that signs.
template = $template
# The signed file that enrolled it, for a meter that is not in the genesis file.
# enrolment = "meter.enrolment"
""")

_READOUT_METER = Text("""
[[bus.meter]]
# As registered, and printed on the meter.
id = $id
# Its number, as a readout says it. Empty: whoever is there, also the neighbour's meter.
# address = ""
# The signed file that enrolled it, for a meter that is not in the genesis file.
# enrolment = "meter.enrolment"
""")


@dataclass(frozen=True, slots=True)
class Answers:
    """What `init` was told."""

    id: str
    """Registered gateway id."""

    genesis: str
    """Path of the genesis file."""

    broker: tuple[str, int]
    """Host and TLS port."""

    certificates: tuple[str, str, str]
    """Paths of the broker's authority, the gateway's certificate and its key."""

    token: tuple[str, str, str]
    """URIs of witness and reader key, and SoftHSM's configuration."""

    place_e7: tuple[int, int]
    """Latitude and longitude, 1e-7 degrees."""

    accuracy_dm: int
    """How well that is known, decimetres."""

    bus: str
    """`rtu`, `tcp` or one of `gateway.config.READOUTS`."""

    where: tuple[str, int]
    """Device path and baud rate; or host and port; baud rate 0: what is usual."""

    parity: str
    """Of a serial line."""

    meters: tuple[tuple[str, int, str], ...]
    """Id, unit and template of each meter."""


def write(path: Path, answers: Answers) -> config.GatewayConfig:
    """Write the file and read it back.

    Raises:
        BadConfiguration: there is such a file already, or an answer makes no sense.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text_of(answers))
    except FileExistsError:
        raise BadConfiguration(f"{path} exists already and is not written over") from None
    try:
        return config.load(path)
    except BadConfiguration:
        path.unlink()
        raise


def text_of(answers: Answers) -> str:
    """The file's text."""
    witness, reader, softhsm2_conf = answers.token
    ca, certificate, key = answers.certificates
    head = _fill(
        _HEAD,
        id=answers.id,
        genesis=answers.genesis,
        spool="spool.sqlite",
        status="127.0.0.1:9464",
        witness=witness,
        reader=reader,
        softhsm2_conf=softhsm2_conf,
        mqtt_host=answers.broker[0],
        mqtt_port=answers.broker[1],
        ca=ca,
        certificate=certificate,
        key=key,
        lat_e7=answers.place_e7[0],
        lon_e7=answers.place_e7[1],
        accuracy_dm=answers.accuracy_dm,
    )
    readout = answers.bus in config.READOUTS
    meter = _READOUT_METER if readout else _METER
    meters = [
        _fill(meter, id=name, unit=unit, template=template)
        for name, unit, template in answers.meters
    ]
    return "".join([head, _bus(answers), *meters])


def _bus(answers: Answers) -> str:
    where, number = answers.where
    if answers.bus == "tcp":
        return _fill(_TCP, host=where, tcp_port=number)
    if answers.bus == "rtu":
        return _fill(_RTU, port=where, baudrate=number or 9_600, parity=answers.parity)
    rate = number or (300 if answers.bus == config.READOUTS[0] else 9_600)
    return _fill(_READOUT, port=where, mode=answers.bus, baudrate=rate)


def _fill(text: Text, **values: str | int) -> str:
    """Fill values in as TOML spells them."""
    spelled = {name: json.dumps(value, ensure_ascii=False) for name, value in values.items()}
    return text.substitute(spelled)
