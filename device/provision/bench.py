"""`gridwitness meter bench`: what the meter's work costs, each figure beside its limit.

Decides which figures are told, of a process on this computer (counted, the same in each run) or of
the board on a port (timed there), and how long a board is estimated to take. Limits are ratios and
sizes; a time is compared with an aim and is never wrong. Leaves counting to `bench_process` and the
work itself to the firmware's folder `bench`.
"""

import argparse
import ast
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device.provision import bench_process
from device.provision.bench_heap import Desk
from device.provision.console import Patience, session
from device.provision.faults import BoardRefused

BENCH = bench_process.FIRMWARE / "bench"

FEWER = 3.5
BOARD_LIMIT_S = 120
"""A board of yesteryear needs seconds for a plain multiplication; longer is a board that hangs."""

MEMORY_TO_SIGN = 4096
COMPILED = 45_000
WHOLE = 65_536

M3_PER_UNIX_PORT = 17.1 / 20.1
"""Instructions of a Cortex-M3 (qemu -icount) over those of the unix port (callgrind) for the same
signature, by a comb of five teeth."""

CYCLES = (1.94, 2.88)
"""Per instruction on a Pyboard, by bm_pidigits (large integers) and pystone: MicroPython pull
request 4858 over the instructions of the same programs in qemu."""

PYBOARD_HZ = 168e6
SLOWER = {
    "esp32": ("ESP32, 240 MHz", 15.4 / 13.0 * 160 / 240, 0.3),
    "rp2040": ("RP2040, 133 MHz", 19.8 / 13.0 * 125 / 133, 0.6),
}
"""Name, time over the Pyboard's by the table of scruss.com (Pyboard 13.0 s, ESP32 at 160 MHz
15.4 s, Pico at 125 MHz 19.8 s), and the aim for a signature in seconds."""

DIFFER = "two ways to multiply give two signatures here: this MicroPython cannot be trusted to sign"
SOURCE = """\
Estimates, not measurements: instructions x 17.1/20.1 (Cortex-M3 over unix port) x 1.94 to 2.88
cycles / 168 MHz (Pyboard, MicroPython pull request 4858) x the board's time over the Pyboard's
(scruss.com). `--port` measures a board."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    key: str
    """Name in JSON."""

    name: str
    """What was measured, for people."""

    value: float | tuple[float, float]
    """Measured; or a range, estimated."""

    unit: str
    """Of the value, and of the limit."""

    limit: str = ""
    """What it must be, or should be, in words."""

    def shown(self) -> str:
        """Value and unit."""
        values = self.value if isinstance(self.value, tuple) else (self.value,)
        return f"{' to '.join(map(_number, values))} {self.unit}".rstrip()


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def add_bench_command(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `bench` to the commands of `meter`."""
    parser = subparsers.add_parser(
        "bench",
        help="measure what a signature costs, here or on a board",
        description="Counts the firmware's work on this computer, or times it on a board with the"
        " firmware. Leaves nothing on the board, and resets it at the end.",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--port", help="serial port of a board; without it MicroPython runs here")
    where.add_argument("--simulate", action="store_true", help="MicroPython here: the default")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print; raises Unavailable and BoardRefused."""
    if args.port:
        subject, figures = of_board(args.port)
    else:
        subject, figures = of_process()
    if args.json:
        content = {figure.key: figure.value for figure in figures}
        limits = {figure.key: figure.limit for figure in figures if figure.limit}
        print(json.dumps({"subject": subject, "figures": content, "limits": limits}))
    else:
        _show(subject, figures, estimated=not args.port)
    return 0


def _say(words: str) -> None:
    _tell(f"measuring {words}")


def _tell(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def of_process() -> tuple[str, list[Figure]]:
    """Count on the unix port of MicroPython; raises Unavailable without it or without valgrind."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _say("sizes of compiled files")
        sizes = {arch: _carried(folder, arch) for arch in bench_process.ARCHITECTURES}
        bench_process.compile_all(folder)
        if not bench_process.signs_alike(folder):
            raise BoardRefused(DIFFER)
        _say("memory")
        memory = bench_process.memory_to_sign(folder)
        _say("the heap that the whole meter needs")
        heap = Desk(folder).smallest()
        _say("instructions (valgrind, some 15 seconds)")
        work = ("sign", "sign-plain", "public-key", "nonce", "record", "self-test")
        counted = bench_process.instructions(folder, work)
    figures = [*_instructions(counted), *_estimates(counted["sign"])]
    limit = f"at most {MEMORY_TO_SIGN:,}"
    figures.append(Figure("memory_to_sign", "free memory for a signature", memory, "bytes", limit))
    limit = f"at most {WHOLE:,}"
    figures.append(
        Figure("heap", "heap of the whole meter, after a year", heap.needed, "bytes", limit)
    )
    figures.append(Figure("heap_in_use", "of it in use when it idles", heap.in_use, "bytes"))
    for arch, size in sizes.items():
        figures.append(
            Figure(f"compiled_{arch}", f".mpy for {arch}", size, "bytes", f"at most {COMPILED:,}")
        )
    return "MicroPython's unix port", figures


def _carried(folder: Path, arch: str) -> int:
    """Bytes of all compiled files of a board, with the larger of the boards' own."""
    into = folder / arch
    return max(
        sum(bench_process.compile_files(bench_process.board_files(board), into, arch).values())
        for board in SLOWER
    )


def _instructions(counted: dict[str, int]) -> list[Figure]:
    ratio = counted["sign-plain"] / counted["sign"]
    names = {
        "sign": "a signature",
        "sign-plain": "the same by plain double-and-add",
        "public-key": "the public key of a secret",
        "nonce": "the nonce (RFC 6979) of a signature",
        "record": "the bytes of a record (CBOR)",
        "self-test": "the self-test at each start",
    }
    figures = [
        Figure(f"{key}_instructions".replace("-", "_"), name, counted[key], "instructions")
        for key, name in names.items()
    ]
    figures.insert(2, Figure("fewer", "times fewer", ratio, "", f"at least {FEWER}"))
    return figures


def estimate_s(instructions: int, slower: float) -> tuple[float, float]:
    """Seconds from and to, for a board that is so many times slower than a Pyboard."""
    least, most = (
        instructions * M3_PER_UNIX_PORT * cycles / PYBOARD_HZ * slower for cycles in CYCLES
    )
    return round(least, 3), round(most, 3)


def _estimates(instructions: int) -> list[Figure]:
    return [
        Figure(
            f"estimate_{key}_s",
            f"a signature, {name}: estimate",
            estimate_s(instructions, slower),
            "s",
            f"aim: {aim}",
        )
        for key, (name, slower, aim) in SLOWER.items()
    ]


def of_board(port: str) -> tuple[str, list[Figure]]:
    """Time on the board, which carries the firmware; raises Unavailable and BoardRefused."""
    _say(f"on {port}")
    by_hand = Patience() if sys.stderr.isatty() else Patience(by_hand_s=0)
    with session(port, _tell, by_hand) as board:
        for name in ("plain.py", "timings.py"):
            program = (BENCH / name).read_bytes()
            said, trouble = board.exec_raw(program, timeout=BOARD_LIMIT_S)
            if trouble:
                words = trouble.decode().strip().splitlines()[-1]
                raise BoardRefused(f"no working firmware on {port}, provision it first: {words}")
        board.leave("import machine\nmachine.reset()")
    found = ast.literal_eval(said.decode().strip())
    return f"{found['board']}, MicroPython {found['version']}", _timings(found)


def _timings(found: dict[str, Any]) -> list[Figure]:
    if not found["alike"]:
        raise BoardRefused(DIFFER)
    times = {
        "sign": ("a signature", "aim: 300 on an ESP32, 600 on an RP2040"),
        "sign_plain": ("the same by plain double-and-add", ""),
        "longest_pause": ("longest the line waits meanwhile", ""),
        "nonce": ("the nonce (RFC 6979) of a signature", ""),
        "record": ("the bytes of a record (CBOR)", ""),
        "collect": ("a garbage collection", ""),
        "write": ("a file of 264 bytes, to flash", ""),
        "append": ("264 bytes added to it", ""),
    }
    figures = [
        Figure(f"{key}_ms", name, found[f"{key}_us"] / 1000, "ms", limit)
        for key, (name, limit) in times.items()
    ]
    ratio = found["sign_plain_us"] / found["sign_us"]
    figures.insert(2, Figure("times_faster", "times faster", ratio, ""))
    return [
        *figures,
        Figure("clock_step_us", "smallest step of the clock", found["clock_step_us"], "us"),
        Figure("free_bytes", "free memory, the curve loaded", found["free_bytes"], "bytes"),
        Figure("heap_bytes", "heap", found["heap_bytes"], "bytes"),
        Figure("frequency_hz", "processor (0: not told)", found["frequency_hz"], "Hz"),
    ]


def _show(subject: str, figures: list[Figure], estimated: bool) -> None:
    print(f"{subject}\n")
    for figure in figures:
        print(f"{figure.name:42} {figure.shown():>23}  {figure.limit}".rstrip())
    if estimated:
        print(f"\n{SOURCE}")
