"""A simulated power cut leaves what was durable, and never a part of a record."""

from validator.simulation.disks import Disk


def test_what_was_written_is_there_in_order() -> None:
    disk = Disk()
    for record in (b"one", b"", b"three"):
        disk.write(record)
    assert disk.read() == [b"one", b"", b"three"]


def test_a_torn_record_is_cut_off_wherever_it_is_torn() -> None:
    for permille in range(0, 1_000, 25):
        disk = Disk()
        disk.write(b"whole")
        disk.tear(b"a record of forty bytes that is torn off", permille)
        assert disk.read() == [b"whole"]
        disk.write(b"next")
        assert disk.read() == [b"whole", b"next"]


def test_a_record_that_was_written_whole_before_the_cut_is_there() -> None:
    disk = Disk()
    disk.tear(b"failed, but persisted", 1_000)
    assert disk.read() == [b"failed, but persisted"]
