"""`gridwitness bench rules`: the balance rule on real grids, as tables, plots and JSON.

Decides which grids by default, how figures are shown and what the plots draw. The trials are
`gridwitness.rules_evaluation`, the rule's cost `gridwitness.rules_cost`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridwitness.plots import COLOURS, Area, Chart, Line

if TYPE_CHECKING:
    from gridwitness.rules_evaluation import DayPoint, Tally

GRIDS = (
    "1-LV-rural1--0-sw",
    "1-LV-rural2--0-sw",
    "1-LV-semiurb4--0-sw",
    "1-LV-urban6--0-sw",
    "ieee-european-lv",
)
WINDOWS = 6_000
SEEDS = 12
PROGRESS_WINDOWS = 500
DAY_WINDOWS = 96
DAY_FIRST = 2 * 7 * DAY_WINDOWS + DAY_WINDOWS
"""The second day of the summer week; of a grid with one week only, its second day."""

DETECTION_PLOT = "detection.svg"


def add_command(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `rules` to `bench`."""
    parser = subparsers.add_parser(
        "rules",
        help="false alarms and thefts found by the balance rule on benchmark grids",
        description="Solves each grid's AC power flow once (cached; needs the [sim] extra), gives"
        " its meters errors, and has the validators' rule judge thousands of windows: honest ones,"
        " and with theft, forged exports and missing meters in them.",
    )
    parser.add_argument(
        "--grid",
        nargs="+",
        metavar="CODE",
        default=list(GRIDS),
        help=f"SimBench codes, or ieee-european-lv (default: {' '.join(GRIDS)})",
    )
    parser.add_argument(
        "--windows", type=int, default=WINDOWS, help=f"a grid, of all seeds (default {WINDOWS})"
    )
    parser.add_argument(
        "--seeds", type=int, default=SEEDS, help=f"sets of meters' errors (default {SEEDS})"
    )
    parser.add_argument("--first-seed", type=int, default=1, help="(default 1)")
    parser.add_argument(
        "--boundary",
        choices=("lv", "hv"),
        default="lv",
        help="side of the transformer where the boundary meter sits (default lv)",
    )
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write SVG plots there")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on stdout")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Solve the grids, measure the rule's cost, then grid by grid; print."""
    from gridwitness import rules_cost
    from gridwitness.rules_evaluation import GridTrial, day
    from hwsim.grid_flows import grid_flows

    if args.seeds < 1 or args.windows < args.seeds:
        print("gridwitness: --windows is at least --seeds, and that is at least 1", file=sys.stderr)
        return 2
    if args.plots is not None:
        args.plots.mkdir(parents=True, exist_ok=True)
    grids = {grid: grid_flows(grid) for grid in args.grid}
    cost = rules_cost.measure(lambda words: print(f"measuring {words}", file=sys.stderr))
    found: dict[str, list[Tally]] = {}
    for grid, flows in grids.items():
        trial = GridTrial(flows, args.boundary)
        trial.run(args.windows, args.seeds, args.first_seed, _progress(grid, args.windows))
        found[grid] = trial.tallies
        if args.plots is not None:
            first = min(DAY_FIRST, flows.intervals - 1 - DAY_WINDOWS)
            points = day(flows, args.boundary, first, DAY_WINDOWS, args.first_seed)
            _write(args.plots / f"residual-{grid}.svg", _day_chart(grid, points))
        if not args.json:
            print(table(grid, found[grid]), flush=True)
    if args.plots is not None:
        _write(args.plots / DETECTION_PLOT, _detection_chart(found))
    if args.json:
        contents = [{"boundary": args.boundary, **content(*each)} for each in found.items()]
        print(json.dumps({"grids": contents, "cost": cost.content}))
    else:
        print(cost.words)
    return 0


def _progress(grid: str, windows: int) -> Any:
    def say(done: int) -> None:
        if done % PROGRESS_WINDOWS == 0:
            print(f"{grid}: {done} of {windows} windows judged", file=sys.stderr, flush=True)

    return say


def _write(path: Path, chart: Chart) -> None:
    path.write_text(chart.svg)
    print(f"wrote {path}", file=sys.stderr)


def main_of(tallies: "Sequence[Tally]") -> "Tally":
    """The metering that the aims speak of."""
    from gridwitness.rules_evaluation import MAIN

    return next(each for each in tallies if each.metering == MAIN)


def content(grid: str, tallies: "Sequence[Tally]") -> dict[str, Any]:
    """One grid for JSON: the main metering's figures on top, all meterings beneath."""
    main = main_of(tallies)
    whole = max(1, main.windows)
    return {
        "grid": grid,
        "intervals": main.windows,
        "false_alarm_rate": main.false_alarms / whole,
        "naive_false_alarm_rate": main.naive_false_alarms / whole,
        "detection_1kw": main.detection(1_000),
        "detection_2kw": main.detection(2_000),
        "naive_detection_1kw": main.naive_detection(1_000),
        "seal_us": round(main.seal_ns / whole / 1_000, 1),
        "meterings": [each.content for each in tallies],
    }


THEFT_COLUMNS = (200, 500, 1_000, 2_000, 5_000)


def table(grid: str, tallies: "Sequence[Tally]") -> str:
    """One grid for people: a line for each metering, the naive rule's beneath, then the rest."""
    heads = "".join(f"{theft / 1000:g} kW".rjust(8) for theft in THEFT_COLUMNS)
    lines = [
        f"\n{grid}: {tallies[0].windows} windows for each line; part of them that shows a theft of",
        f"{'Wh step, skew s (boundary)':34}{'alarms':>8}{heads}{'in 90 %':>10}{'band kW':>15}",
    ]
    for tally in tallies:
        shown = tally.content
        metering = tally.metering
        name = f"{metering.step_wh} Wh, {metering.skew_s} s ({metering.boundary_skew_s} s)"
        name += ", kvarh" if metering.reactive else ""
        name += ", 0.2S" if metering.fine_boundary else ""
        found = "".join(f"{tally.detection(theft):8.1%}" for theft in THEFT_COLUMNS)
        smallest = shown["smallest_theft_w"]
        least = "none" if smallest is None else f"{smallest / 1000:.2f} kW"
        band = f"{shown['band_kw_median']:.2f} / {shown['band_kw_most']:.2f}"
        lines.append(f"{name:34}{shown['false_alarm_rate']:8.3%}{found}{least:>10}{band:>15}")
    main = main_of(tallies)
    naive = "".join(f"{main.naive_detection(theft):8.1%}" for theft in THEFT_COLUMNS)
    rate = main.naive_false_alarms / max(1, main.windows)
    lines.append(f"{'naive: 5 % of the net flow':34}{rate:8.3%}{naive}")
    return "\n".join([*lines, *_more(main)])


def _more(main: "Tally") -> list[str]:
    """Bands, forged exports and missing meters under the main metering."""
    lines = []
    for theft_w in (1_000, 2_000):
        windows, found = main.allowed[theft_w]
        lines.append(
            f"  {theft_w / 1000:g} kW of theft: the band is narrower in {windows} windows,"
            f" {found} of them show it"
        )
    forged = ", ".join(
        f"{export_w / 1000:g} kW {settled}/{over + settled + withheld}"
        for export_w, (over, settled, withheld) in main.forged.items()
        if over + settled + withheld
    )
    over = sum(each[0] for each in main.forged.values())
    words = f"settled: {forged}; {over} refused by rule C" if forged else "nobody can: no source"
    beyond = main.forged_beyond_band_settled
    lines.append(f"  forged exports {words}; above their seal's band {beyond} settled")
    for count, (inconclusive, accused, found) in main.missing.items():
        lines.append(
            f"  {count} meters missing: {inconclusive} INCONCLUSIVE, {accused} accused;"
            f" with 5 kW of theft {found} show it all the same"
        )
    outside = main.loss_outside
    lines.append(f"  true loss outside the losses' interval by 1 Wh or more: {outside} windows")
    return lines


def _day_chart(grid: str, points: "Sequence[DayPoint]") -> Chart:
    def along(values: Sequence[int]) -> list[tuple[float, float]]:
        return [(place / 4, value) for place, value in enumerate(values)]

    band = [(place / 4, each.low_wh, each.high_wh) for place, each in enumerate(points)]
    return Chart(
        f"{grid}: residual of a day and what the rule lets pass",
        "hour of the day",
        "Wh in 15 minutes",
        (
            Line("residual, honest", along([each.residual_wh for each in points]), COLOURS[0]),
            Line(
                "residual while 2 kW are stolen", along([e.stolen_wh for e in points]), COLOURS[1]
            ),
        ),
        (Area("BALANCED: losses and tolerance", band, COLOURS[2]),),
    )


def _detection_chart(found: "dict[str, list[Tally]]") -> Chart:
    from gridwitness.rules_evaluation import THEFTS_W

    lines = []
    for number, (grid, tallies) in enumerate(found.items()):
        main, colour = main_of(tallies), COLOURS[number % len(COLOURS)]
        ours = [(theft / 1000, 100 * main.detection(theft)) for theft in THEFTS_W]
        naive = [(theft / 1000, 100 * main.naive_detection(theft)) for theft in THEFTS_W]
        lines += [Line(grid, ours, colour), Line("", naive, colour, dashed=True)]
    return Chart(
        "theft found in one interval (dashed: the naive rule, 5 % of the feeder's flow)",
        "theft, kW",
        "% of windows",
        lines,
        logarithmic=True,
    )
