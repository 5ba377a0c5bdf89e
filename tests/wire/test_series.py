"""An honest meter is never accused, whatever befalls it; and no change of a record passes."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gridwitness.forger import LENGTH_S, METER, START_S, chained, day, tamper
from wire import cbor
from wire.cose import open_sign1
from wire.history import History
from wire.reading import ClockEvidence, Reading
from wire.record_rules import Registered
from wire.series import Findings, examine

BEFALLS = (
    "nothing",
    "reboot",
    "outage",
    "set",
    "cover",
    "closed",
    "update",
    "moved",
    "held",
    "fix",
)
KEY = METER.public


def findings(records: list[bytes]) -> Findings:
    return examine(History.of(records), Registered(KEY, {}))


class Life:
    """A meter that does what the firmware's rules say, and to which things happen."""

    def __init__(self) -> None:
        self.reading = day()[0]._replace(sequence=0, extra={})
        self.drift_s = 0

    def befall(self, what: str, draw: int) -> None:
        """Something happens in the interval that is about to be recorded."""
        self.reading = self.reading._replace(status=self.reading.status & ~(1 << 7 | 1 << 5))
        if what in ("cover", "closed", "update", "moved", "reboot", "outage"):
            self.reading = self.reading._replace(events=self.reading.events + 1 + draw % 3)
        getattr(self, f"_{what}", lambda _: None)(draw)

    def _reboot(self, draw: int) -> None:
        now = self.reading
        self.reading = now._replace(boots=now.boots + 1, status=now.status | 1 << 7)
        self.drift_s -= draw % 200

    def _outage(self, draw: int) -> None:
        now, dead = self.reading, 1 + draw % 50
        self.reading = now._replace(
            boots=now.boots + 1,
            interval_start_s=now.interval_start_s + dead * LENGTH_S,
            import_wh=now.import_wh + draw,
        )
        self.drift_s -= dead * LENGTH_S - draw % 800

    def _set(self, draw: int) -> None:
        now = self.reading
        skipped = draw % 5
        clock = ClockEvidence(1, now.clock.times_set + 1, now.operating_s + 30, 90)
        start_s = now.interval_start_s + skipped * LENGTH_S
        self.reading = now._replace(
            clock=clock, status=now.status | 1 << 5, interval_start_s=start_s
        )
        self.drift_s -= skipped * LENGTH_S

    def _cover(self, _: int) -> None:
        self.reading = self.reading._replace(status=self.reading.status | 1 << 8)

    def _closed(self, _: int) -> None:
        self.reading = self.reading._replace(status=self.reading.status & ~(1 << 8))

    def _update(self, draw: int) -> None:
        self.reading = self.reading._replace(software_id=draw.to_bytes(4, "big"))

    def _moved(self, draw: int) -> None:
        self.reading = self.reading._replace(
            configuration_id=draw.to_bytes(8, "big"), node=f"bus-{draw % 9}"
        )

    def _held(self, draw: int) -> None:
        self.reading = self.reading._replace(status=self.reading.status ^ 1 << 18)

    def _fix(self, draw: int) -> None:
        self.reading = self.reading._replace(
            position=None if draw % 2 else day()[draw % 50].position
        )

    def close(self, sequence: int, in_wh: int, out_wh: int) -> Reading:
        """The record of the interval that ends."""
        now = self.reading
        operating_s = max(
            now.operating_s,
            41_000 + now.interval_start_s - START_S + self.drift_s,
            now.clock.set_at_operating_s,
        )
        closed = now._replace(
            sequence=sequence,
            import_wh=now.import_wh + in_wh,
            export_wh=now.export_wh + out_wh,
            import_advance_wh=in_wh,
            export_advance_wh=out_wh,
            operating_s=operating_s,
            reactive=None,
        )
        self.reading = closed._replace(interval_start_s=now.interval_start_s + LENGTH_S)
        return closed


intervals = st.lists(
    st.tuples(st.sampled_from(BEFALLS), st.integers(0, 1000), st.integers(0, 9999)),
    min_size=2,
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(intervals)
def test_an_honest_meter_is_never_accused(befallen: list[tuple[str, int, int]]) -> None:
    life = Life()
    readings = []
    for sequence, (what, draw, energy_wh) in enumerate(befallen):
        life.befall(what, draw)
        readings.append(life.close(sequence, energy_wh, draw))
    found = findings(chained(readings))
    assert [fault.words for fault in found.faults] == []
    assert found.records == len(befallen)
    assert found.missing == []


RECORDS = chained(day())[38:44]
VALUES = (
    st.integers(0, 2**64 - 1)
    | st.integers(0, 300)
    | st.binary(max_size=33)
    | st.text(max_size=12)
    | st.lists(st.integers(0, 2**40), min_size=4, max_size=4)
    | st.none()
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(key=st.integers(1, 24) | st.sampled_from([64, 65]), value=VALUES, index=st.integers(0, 5))
def test_no_change_of_a_field_passes(key: int, value: object, index: int) -> None:
    content = cbor.decode(open_sign1(RECORDS[index]).payload)
    if value == content.get(key):
        return
    changed = tamper(RECORDS[index], content={key: value} if value is not None else {64: None})
    data = b"".join([*RECORDS[:index], changed, *RECORDS[index + 1 :]])
    found = examine(History.decode(data), Registered(KEY, {}))
    assert found.faults
    assert {fault.place for fault in found.faults} == {index}
    if all(fault.proved for fault in found.faults):
        assert [fault.key for fault in found.faults] == [64 if value is None else key]
        assert found.records == len(RECORDS)
