"""Makes the flash of a meter that has run for a year: `year.py IMAGE FILES MODULES`.

Its files are copied as they are on a board, its log is full with 35,040 records, its state goes on
from there. The records are the same one 35,040 times: whoever reads them back is told nothing, but
littlefs, the log and the heap do as they would.
"""

import json
import os
import struct
import sys
from binascii import crc32

import vfs

from bench.flash import Flash, insert

START_S = 1751328000
RECORDS = 35040
PER_FILE = 96


def copy(source, target):
    """One file from the host."""
    with open("/host" + source, "rb") as f, open(target, "wb") as copied:
        copied.write(f.read())


def copy_folder(source, target):
    """All files of a folder and the folders in it."""
    os.mkdir(target)
    for name, kind, *_ in os.ilistdir("/host" + source):
        if kind == 0x4000:
            copy_folder(source + "/" + name, target + "/" + name)
        else:
            copy(source + "/" + name, target + "/" + name)


def fill_log():
    """A record of 226 bytes in each slot of a year's files."""
    rest = struct.pack("<HH", 226, 0) + bytes(256)
    slot = struct.pack("<I", crc32(rest)) + rest
    os.mkdir("/log")
    for number in range(RECORDS // PER_FILE):
        with open("/log/" + str(number), "wb") as f:
            f.write(slot * PER_FILE)


def main(image, files, modules):
    """Make it."""
    vfs.VfsLfs2.mkfs(Flash(image), progsize=256, readsize=256)
    insert(image, modules)
    copy(files + "/main.py", "/main.py")
    copy(files + "/board.py", "/board.py")  # For its bytes: `whole` stands for it.
    copy_folder(files + "/meter", "/meter")
    fill_log()
    from meter import boot, keys, state

    with open("/config.json", "w") as f:
        json.dump(CONFIG, f)
    with open("/profile.csv", "w") as f:
        for i in range(8):
            f.write("%d,%d,%d\n" % (START_S + 900 * i, i * 250400, i * 7000))
    keys.make_key()
    saved = dict(boot.FRESH)
    saved.update({"boots": 3, "sequence": RECORDS, "pending": "00" * 160})
    state.save("/state.json", saved)


CONFIG = {
    "meter": "GW-000001",
    "node": "LV1.101.Bus-7",
    "zone": "LV1.101",
    "unit": 5,
    "element": {"kind": "simulated", "profile": "/profile.csv"},
    "log_days": 366,
    "service_window_ms": 0,
    "commissioning": {
        "technician": "T-0042",
        "commissioned_at_s": START_S,
        "seals": ["A1234567", "A1234568"],
        "old_meter": "MEA-20031234",
    },
}
main(*sys.argv[1:4])
