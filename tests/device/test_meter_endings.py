"""How the program of a board ends, whatever presses at its console."""

from device.provision import bench_process

IMPATIENT = """
import sys

class Stub:
    presses = 0
    def jumper(self):
        return False
    def start(self):
        raise KeyboardInterrupt
    def session(self):
        self.presses += 1
        if self.presses < 3:
            raise KeyboardInterrupt
        print("noted")

stub = Stub()
sys.modules.update({"board": stub, "meter.start": stub, "meter.notes": stub})
import meter
meter.start = meter.notes = stub
import main
"""


def test_whoever_presses_again_while_the_session_is_noted_is_noted_all_the_same() -> None:
    said = bench_process.micropython(IMPATIENT, bench_process.FIRMWARE)
    assert said.splitlines() == ["noted", "service: the meter has stopped"]
