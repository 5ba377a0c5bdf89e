"""What goes wrong at a meter, as a table: code, what, why, what to do, and the exit status.

Decides the words that a technician reads, one line each, and that every expected trouble has a row
here. Leaves what a row becomes to `fault`, and finding the trouble to the steps.
"""

from device.provision.fault import AwayFault as AwayFault
from device.provision.fault import BoardRefused as BoardRefused
from device.provision.fault import Fault as Fault
from device.provision.fault import RefusedFault as RefusedFault
from device.provision.fault import Row as Row
from device.provision.registry_faults import BROKEN_GENESIS as BROKEN_GENESIS
from device.provision.registry_faults import FOREIGN_TECHNICIAN as FOREIGN_TECHNICIAN
from device.provision.registry_faults import METER_ENROLLED as METER_ENROLLED
from device.provision.registry_faults import NODE_TAKEN as NODE_TAKEN
from device.provision.registry_faults import NOT_REACHED as NOT_REACHED
from device.provision.registry_faults import OUT_OF_REACH as OUT_OF_REACH
from device.provision.registry_faults import REGISTRY_AWAY as REGISTRY_AWAY
from device.provision.registry_faults import UNFIT_READER as UNFIT_READER
from device.provision.registry_faults import UNFIT_TECHNICIAN as UNFIT_TECHNICIAN

NO_PORT = Row(
    "P-01",
    1,
    "No serial port of this computer has a board that answers.",
    "plug the meter in with a data cable (many only charge), wait 3 s; or name the port: --port",
    away=True,
)
WRONG_PORT = Row(
    "P-02",
    1,
    "There is no port {port}.",
    "`gridwitness meter probe --scan` lists the ports that are there",
    away=True,
)
BUSY_PORT = Row(
    "P-03",
    1,
    "Another program has {port} open.",
    "close the serial monitor, editor or other terminal that uses it, then again",
    away=True,
)
NO_PERMISSION = Row(
    "P-04",
    1,
    "This user may not open {port}.",
    "`sudo usermod -aG dialout $USER`, then log in again",
    away=True,
)
NO_ANSWER = Row(
    "P-05",
    1,
    "No MicroPython answers on {port}: nothing came in {seconds} s. It is another device, or a"
    " locked meter.",
    "press the board's reset button while this command waits (a locked meter listens for"
    " 3 s after a reset), or set the service jumper; check the cable; `gridwitness meter"
    " probe --scan`",
    away=True,
)
NOT_MICROPYTHON = Row(
    "P-06",
    1,
    "Something answers on {port} and it is no MicroPython: {heard}.",
    "if this is the board, put MicroPython on it from micropython.org/download; else name the"
    " right port: --port",
    away=True,
)
SILENT_ELEMENT = Row(
    "P-07",
    6,
    "Meter answered but element {address} is silent.",
    "check A/B or RX/TX (crossed), the element's own supply (most live from the mains side) and"
    " 9600-8N1; docs/WIRING.md",
)
BOOT_LOOP = Row(
    "P-08",
    1,
    "The board on {port} starts again and again ({times} times in {seconds} s).",
    "another supply or cable (5 V, 500 mA); hold the service jumper; if it goes on, put MicroPython"
    " on it again",
    away=True,
)
WENT_SILENT = Row(
    "P-09",
    0,
    "The board on {port} stopped answering in the middle.",
    "the same command again: it goes on where it was. Twice: another cable, a hub with its own"
    " supply",
    away=True,
)
UNPLUGGED = Row(
    "P-10",
    0,
    "The board on {port} is gone: unplugged, or its supply failed.",
    "plug it in and give the same command again: it goes on where it was",
    away=True,
)
SEVERAL_BOARDS = Row(
    "P-11",
    1,
    "Boards answer on several ports: {ports}.",
    "name one: --port",
)
FOREIGN_METER = Row(
    "P-12",
    1,
    "The board is already meter {found}, not {meter}.",
    "connect the right board, or give --meter {found}. To make another meter of it, erase its flash"
    " first: its records and its key are then gone",
)
BAD_ARGUMENT = Row(
    "P-17",
    1,
    "{what}.",
    "the same command with --help",
)
NOT_BACK = Row(
    "P-18",
    0,
    "The board was reset and its port {port} did not come back within {seconds} s.",
    "wait for its lamp, then the same command again: it goes on where it was. Twice: another cable,"
    " a hub with its own supply",
    away=True,
)

OLD_MICROPYTHON = Row(
    "P-20",
    2,
    "The board has MicroPython {found}; {least} is the oldest that the application runs on.",
    "put a newer MicroPython on it from micropython.org/download, then again",
)
MISSING_MODULES = Row(
    "P-21",
    2,
    "This MicroPython lacks {modules}.",
    "put the stock build for this board on it from micropython.org/download",
)
WRONG_MPY = Row(
    "P-22",
    2,
    "This MicroPython loads .mpy version {found}, and the application is compiled for {made}.",
    "put the stock MicroPython for this board on it (1.22 or newer; compiled files are"
    " .mpy version {made}), or copy sources instead: --source",
)
UNKNOWN_BOARD = Row(
    "P-23",
    2,
    "No board file for {platform}; there are: {known}.",
    "name the one with the same pins: --board",
)
NO_COMPILER = Row(
    "P-24",
    2,
    "The application cannot be compiled here: {why}.",
    "`make setup` in this program's folder, or copy sources instead: --source",
)

FLASH_FULL = Row(
    "P-30",
    3,
    "The board's flash is full: {free} kB are free and {needed} kB are needed.",
    "remove what does not belong to a meter (`.venv/bin/mpremote connect PORT fs ls`),"
    " or erase the flash and provision again; a blank board of 1 MB is enough",
)
FILE_DIFFERS = Row(
    "P-31",
    3,
    "{path} is not on the board as it was sent.",
    "the same command again. Twice: the flash is worn, take another board",
)
SOFTWARE_DIFFERS = Row(
    "P-32",
    3,
    "The board calls its software {found}, and what was copied is {expected}.",
    "the same command again; files on it that nobody here put there are removed then",
)
NOT_INSTALLED = Row(
    "P-33",
    3,
    "The board does not have this application: {differences}.",
    "`gridwitness meter provision`, with this meter's options, copies it",
)
CRASHED = Row(
    "P-34",
    0,
    "The board says: {words}.",
    "the same command again; then with --source, and report it with these words",
)

BAD_KEY = Row(
    "P-40",
    4,
    "The board's key does not prove itself: {why}.",
    "do not use this board as a meter: its processor or its secure element computes wrong",
)
KEY_LOST = Row(
    "P-41",
    4,
    "The board has {records} records and no key: it was a meter, and its key is lost.",
    "copy the records out (`.venv/bin/mpremote connect PORT fs cp -r :/log .`), erase"
    " its flash, provision it as a new meter",
)
SECURE_ELEMENT_SILENT = Row(
    "P-42",
    4,
    "The secure element does not answer as it should: {why}.",
    "a new ATECC608: --lock-secure-element, once and for good (docs/PROVISIONING.md)."
    " Else check SDA, SCL, 3.3 V and the pull-ups (docs/WIRING.md); without one, leave"
    " --secure-element out",
)
NO_KEY = Row(
    "P-43",
    4,
    "The board has no key yet.",
    "`gridwitness meter provision`, with this meter's options, makes one",
)

BAD_COMPUTER_CLOCK = Row(
    "P-50",
    5,
    "This computer's own clock says {year}.",
    "set it (`sudo timedatectl set-ntp true`), then again: the meter would take its time from it",
)
CLOCK_NOT_KEPT = Row(
    "P-51",
    5,
    "The board's clock is {error}.",
    "`gridwitness meter provision`, with this meter's options, sets it. If it was set"
    " just now, the crystal or the backup supply is bad: take another board",
)

POWER_DISAGREES = Row(
    "P-60",
    6,
    "Phase {phase}: {volts} V x {amperes} A cannot make {watts} W.",
    "check the current transformer's ratio and which phase each voltage wire is on; the current"
    " transformer of a phase belongs on its own conductor",
)
WRONG_FREQUENCY = Row(
    "P-61",
    6,
    "The mains have {hertz} Hz, not {least} to {most}.",
    "in a 60 Hz grid: --frequency 60. Else the voltage input picks up noise: check its wires",
)
REVERSED_CT = Row(
    "P-62",
    6,
    "Phase {phase}: {watts} W flow out and no generation was declared.",
    "current transformer reversed? Turn it round or swap S1/S2. With a generator: --generation-w",
)
WRONG_VOLTAGE = Row(
    "P-63",
    6,
    "Phase {phase}: {volts} V, not {least} to {most}.",
    "check the voltage wires and their fuses, and the neutral; another grid: --voltage",
)
BAD_RATIO = Row(
    "P-64",
    6,
    "A current transformer of {ratio} with a service of {amperes} A is not plausible: {why}.",
    "read the ratio off the transformer's plate; --ct and --service-a",
)
DISPLAY_DIFFERS = Row(
    "P-65",
    6,
    "The display does not show the register that was read ({kwh} kWh).",
    "check that this is the right meter at the right address; for an S0 output check the pulses"
    " per kWh and the start register",
)

CONFIGURATION_REFUSED = Row(
    "P-70",
    7,
    "The board refuses the configuration: {why}.",
    "correct the option that it names: `gridwitness meter provision --help`",
)
CONFIGURATION_DIFFERS = Row(
    "P-71",
    7,
    "The board computes configuration {found}, this computer {expected}.",
    "the same command again. Twice: report it, with both numbers",
)
NO_TECHNICIAN_KEY = Row(
    "P-72",
    7,
    "The technician's key cannot sign: {why}.",
    "--technician-key FILE (with --passphrase-file) or a pkcs11: URI; `gridwitness meter"
    " technician --help` makes a file, `gridwitness hsm doctor --help` looks at a token",
)
BAD_METER_SIGNATURE = Row(
    "P-73",
    7,
    "What the meter signed does not verify: {why}.",
    "the same command again. Twice: take another board",
)
DOES_NOT_RUN = Row(
    "P-74",
    7,
    "The meter was started and does not serve its line: {why}.",
    "`gridwitness meter check`; the same command again",
)
NOT_COMMISSIONED = Row(
    "P-75",
    7,
    "The meter's commissioning record differs: {differences}.",
    "`gridwitness meter provision`, with this meter's options, makes a new one",
)

NOT_ENROLLABLE = Row(
    "P-76",
    7,
    "No enrolment can be made of this: {why}.",
    "correct --role, --reader, --service-a or --site; or leave --reader out, and enrol later",
)
NOT_PROVED = Row(
    "P-77",
    7,
    "The meter does not prove what its registers show: {why}.",
    "the same command again. Twice: take another board",
)

NOT_LOCKED = Row(
    "P-80",
    8,
    "The meter is to be locked and still answers Ctrl-C after its service window.",
    "take the service jumper off, then the same command again",
)
NO_PAPERS = Row(
    "P-29",
    1,
    "The papers could not be kept: {path}: {why}.",
    "another folder: --out. The board is as it was",
)
NOT_WRITTEN = Row(
    "P-81",
    8,
    "{path} cannot be written: {why}.",
    "another folder: --out. The meter itself is ready",
)

NO_METER = Row(
    "P-90",
    0,
    "The board on {port} is no meter yet.",
    "`gridwitness meter provision` makes one of it; or name the right port: --port",
)
NOT_CONFIRMED = Row(
    "P-91",
    0,
    "Nothing was acknowledged: nobody confirmed it.",
    "look at the meter, then answer y, or give --yes",
)
NOT_ACKNOWLEDGED = Row(
    "P-92",
    0,
    "The meter has not acknowledged what stands: {why}.",
    "the same command again; then `gridwitness meter check`",
)
STILL_STANDS = Row(
    "P-93",
    0,
    "Acknowledged, and it stands again: {names}.",
    "close the covers, take the magnet away, provision a changed configuration; then the same"
    " command again",
)
LINE_SILENT = Row(
    "P-94",
    0,
    "No meter answers as unit {unit} on {port} at {baudrate} baud: {why}.",
    "check A/B (crossed), --unit and --baudrate (the meter's console tells them:"
    " `gridwitness meter read --port PORT`, where PORT is its USB cable), and that no"
    " other master is on the line",
    away=True,
)
LINE_OTHER = Row(
    "P-95",
    0,
    "Unit {unit} on {port} answers and is no GridWitness meter: {why}.",
    "name the right unit: --unit; other makes: `gridwitness gateway probe`",
)
LINE_NOT_BELIEVED = Row(
    "P-96",
    0,
    "What unit {unit} on {port} shows is not believed: {why}.",
    "read it again; compare the key with the label. Twice: the meter is not the one that was"
    " commissioned, or broken",
)

TABLE = tuple(value for value in list(globals().values()) if isinstance(value, Row))
"""Every row."""
