"""Where a log begins and ends, from its files; forgotten once all logs are open.

Decides by the names, and the size of one file. A tail torn by a power cut is cut off, and its
record made again from the same bytes, which the state has.
"""

import os

from meter.log import SLOT


def ends(folder, per_file):
    """The log's (tail, head) in a folder, which is made when it is missing."""
    try:
        os.mkdir(folder)
    except OSError:
        pass  # It is there.
    oldest, newest = _numbers(folder)
    if newest is None:
        return 0, 0
    return oldest * per_file, newest * per_file + _slots(folder, newest)


def shorten(folder, number, count):
    """Keep so many slots of a file."""
    path = folder + "/" + str(number)
    with open(path, "rb") as f, open(folder + ".new", "wb") as kept:
        for _ in range(count):
            kept.write(f.read(SLOT))
    os.rename(folder + ".new", path)


def _slots(folder, number):
    """How many a file has; part of one behind them is cut off."""
    with open(folder + "/" + str(number), "rb") as f:
        size = f.seek(0, 2)
    count = size // SLOT
    if size != count * SLOT:
        shorten(folder, number, count)
    return count


def _numbers(folder):
    """The lowest and the highest number among the files; a year of names is never held at once."""
    oldest = newest = None
    for name in _names(folder):
        if name.isdigit():
            number = int(name)
            oldest = number if oldest is None else min(oldest, number)
            newest = number if newest is None else max(newest, number)
    return oldest, newest


def _names(folder):
    if hasattr(os, "ilistdir"):
        return (entry[0] for entry in os.ilistdir(folder))
    return os.listdir(folder)
