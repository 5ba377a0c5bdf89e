"""What device/README.md states, so that tests can hold it to what they measure."""

from pathlib import Path

README = Path(__file__).parents[2] / "device" / "README.md"


def holds(figure: str, measured: int) -> bool:
    """Whether the table's row that begins so states what was measured, give or take a tenth."""
    rows = [line.split("|") for line in README.read_text().splitlines() if line.startswith("| ")]
    (stated,) = {row[2].strip() for row in rows if row[1].strip().startswith(figure)}
    print(f"{figure}: {measured:,} (stated {stated})")
    return abs(int(stated.replace(",", "")) - measured) * 10 <= measured
