"""Places and the one-way delays between them, for simulated networks.

`world`: 13 regions of Amazon Web Services, one-way milliseconds as measured by the CometBFT project
for its own latency emulation (github.com/cometbft/cometbft, test/e2e/pkg/files/aws-latencies.csv,
Apache-2.0). `thailand`: 24 cities, among them the twelve area offices of the Provincial Electricity
Authority; great-circle distances, half as much again for the route, light in fibre (ITU-T G.652,
group index 1.468: 4.9 us a kilometre), and 0.5 ms of equipment at each end. Positions are rounded
to 0.01 degree (GeoNames).
"""

import math
from dataclasses import dataclass

FIBRE_US_PER_KM = 4.9
ROUTE = 1.5
END_US = 500
EARTH_KM = 6_371


@dataclass(frozen=True, slots=True)
class Map:
    """Places, and how far they are from each other."""

    places: tuple[str, ...]
    """Names."""

    matrix_us: tuple[tuple[int, ...], ...]
    """One-way delays, microseconds."""

    def times(self, factor: int) -> "Map":
        """The same places, so many times as far."""
        rows = (tuple(each * factor for each in row) for row in self.matrix_us)
        return Map(self.places, tuple(rows))


_REGIONS = """
N.Virginia    0   7  30  38  39  33  44  58  73  93  98  87 105
Canada        7   0  38  39  29  35  46  63  70  94  97  85 103
N.California 30  39   0  68  10  68  75  88  54 116  69  67  86
London       38  39  68   0  63   5   8  94 104  56 131 118  82
Oregon       39  29  10  63   0  59  68  88  49 109  69  63  84
Ireland      33  35  68   5  59   0  13  88 100  61 127 114  90
Frankfurt    44  46  75   8  68  13   0 101 111  60 143 109  77
Sao-Paulo    58  63  88  94  88  89 101   0 128 151 155 142 161
Tokyo        73  70  54 104  49 100 111 128   0  60  57  16  39
Mumbai       93  94 116  56 109  61  60 151  60   0  76  57  27
Sydney       98  97  69 131  69 127 143 155  57  76   0  69  45
Seoul        87  84  67 118  63 114 109 142  17  57  69   0  36
Singapore   105 103  86  82  81  90  77 161  39  27  45  36   0
"""

_CITIES = """
Bangkok 13.75 100.50, Nonthaburi 13.86 100.52, Chiang-Mai 18.79 98.98, Phitsanulok 16.82 100.27,
Lopburi 14.80 100.65, Udon-Thani 17.41 102.79, Ubon-Ratchathani 15.24 104.85,
Nakhon-Ratchasima 14.97 102.10, Ayutthaya 14.35 100.57, Chonburi 13.36 100.98,
Nakhon-Pathom 13.82 100.06, Phetchaburi 13.11 99.94, Nakhon-Si-Thammarat 8.43 99.96,
Yala 6.54 101.28, Chiang-Rai 19.91 99.83, Lampang 18.29 99.49, Nakhon-Sawan 15.70 100.14,
Khon-Kaen 16.44 102.83, Saraburi 14.53 100.91, Rayong 12.68 101.28, Ratchaburi 13.54 99.81,
Surat-Thani 9.14 99.33, Phuket 7.89 98.40, Hat-Yai 7.01 100.47
"""


def _world() -> Map:
    rows = [line.split() for line in _REGIONS.strip().splitlines()]
    # Two validators in one region are in two of its zones: 1 ms apart.
    matrix = tuple(tuple(max(1, int(each)) * 1_000 for each in row[1:]) for row in rows)
    return Map(tuple(row[0] for row in rows), matrix)


def _thailand() -> Map:
    rows = [each.split() for each in _CITIES.replace("\n", " ").split(",")]
    sites = [(math.radians(float(lat)), math.radians(float(lon))) for _, lat, lon in rows]
    matrix = tuple(tuple(_delay_us(one, other) for other in sites) for one in sites)
    return Map(tuple(row[0] for row in rows), matrix)


def _delay_us(one: tuple[float, float], other: tuple[float, float]) -> int:
    """Along the great circle (haversine), and through the equipment at both ends."""
    half = math.sin((other[0] - one[0]) / 2) ** 2
    half += math.cos(one[0]) * math.cos(other[0]) * math.sin((other[1] - one[1]) / 2) ** 2
    distance_km = 2 * EARTH_KM * math.asin(math.sqrt(half))
    return round(distance_km * ROUTE * FIBRE_US_PER_KM) + 2 * END_US


MAPS = {"thailand": _thailand(), "world": _world()}
