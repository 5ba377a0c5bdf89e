import pytest

from validator.app.geometry import Point, within

BANGKOK = Point(137_563_000, 1_005_018_000)
COS_PPM = 971_300


@pytest.mark.parametrize(
    ("other", "metres"),
    [
        pytest.param(Point(137_573_000, 1_005_018_000), 112, id="north"),
        pytest.param(Point(137_553_000, 1_005_018_000), 112, id="south"),
        pytest.param(Point(137_563_000, 1_005_028_000), 109, id="east: shorter by the cosine"),
        pytest.param(Point(137_563_000, 1_005_008_000), 109, id="west"),
        pytest.param(Point(137_573_000, 1_005_028_000), 156, id="north-east"),
    ],
)
def test_a_point_lies_within_a_radius_or_one_metre_beyond(other: Point, metres: int) -> None:
    assert within(BANGKOK, other, COS_PPM, metres)
    assert not within(BANGKOK, other, COS_PPM, metres - 1)


def test_distance_does_not_depend_on_direction() -> None:
    other = Point(137_571_234, 1_005_009_876)
    for radius_m in range(100, 150):
        assert within(BANGKOK, other, COS_PPM, radius_m) == within(
            other, BANGKOK, COS_PPM, radius_m
        )


def test_the_date_line_is_no_distance() -> None:
    assert within(Point(0, 1_799_999_990), Point(0, -1_799_999_990), 1_000_000, 1)


def test_a_point_is_within_nothing_of_itself() -> None:
    assert within(BANGKOK, BANGKOK, COS_PPM, 0)
