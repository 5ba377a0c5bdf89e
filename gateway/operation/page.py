"""The gateway's page for a person: what doctor would say of it, and every meter, at a glance.

One HTML text without scripts, readable on a phone and at night; it reloads itself. What is shown
are the findings of `operation.symptoms` and the report's own numbers.
"""

import time
from collections.abc import Mapping
from html import escape
from typing import Any

from gateway.operation.symptoms import age_words, symptoms

_SECONDS = 10
_MOST_S = 2**32

_STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--line:#d8dde3;--soft:#5b6570;
--good:#1a7f45;--bad:#b3261e;--badge:#fdecea}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ed;--paper:#14171b;--line:#2d333b;--soft:#9aa4b0;
--good:#5cc88a;--bad:#ff8a80;--badge:#3a1d1b}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:60rem;padding:1rem;background:var(--paper);color:var(--ink);
font:1rem/1.45 system-ui,sans-serif}
h1{font-size:1.25rem;margin:0}h2{font-size:1rem;margin:1.6rem 0 .4rem}
p{margin:.2rem 0}.soft{color:var(--soft);font-size:.9rem}
.all{margin:.8rem 0;padding:.6rem .8rem;border-radius:.5rem;border:1px solid var(--line);
font-weight:600}
.all.good{color:var(--good)}.all.bad{color:var(--bad);background:var(--badge)}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(9rem,1fr));gap:.5rem;margin:0}
dl div{border:1px solid var(--line);border-radius:.5rem;padding:.4rem .6rem}
dt{color:var(--soft);font-size:.8rem}dd{margin:0;font-size:1.15rem;font-variant-numeric:tabular-nums}
ul{list-style:none;margin:0;padding:0}
li{padding:.45rem 0;border-top:1px solid var(--line);overflow-wrap:anywhere;
display:grid;grid-template-columns:8rem 1fr;gap:.6rem}
li:first-child{border-top:0}
li.bad b::after{content:" !"}
li.bad b{color:var(--bad)}li.good b{color:var(--good)}
table{border-collapse:collapse;width:100%;font-size:.95rem}
th,td{text-align:left;padding:.35rem .6rem .35rem 0;border-top:1px solid var(--line);
vertical-align:top}
thead th{border-top:0;color:var(--soft);font-weight:500;font-size:.85rem}
tbody th{font-weight:500;overflow-wrap:anywhere}
td.n{font-variant-numeric:tabular-nums;white-space:nowrap}
td.bad{color:var(--bad);font-weight:600}td.good{color:var(--good)}
"""

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="refresh" content="{seconds}">
<title>{title}</title><style>{style}</style></head><body>
"""


def page(report: Mapping[str, Any]) -> str:
    """The page of a report."""
    found = symptoms(report)
    bad = [each for each in found if not each.good]
    findings = "".join(
        f'<li class="{"good" if each.good else "bad"}"><b>{escape(each.what)}</b>'
        f"<span>{escape(each.words)}</span></li>"
        for each in sorted(found, key=lambda each: each.good)
    )
    return (
        _HEAD.format(seconds=_SECONDS, title=escape(report["gateway"]), style=_STYLE)
        + f"<h1>{escape(report['gateway'])}</h1>"
        + f'<p class="soft">network {escape(report["network"])}</p>'
        + (
            f'<p class="all bad">{_things(len(bad))}</p>'
            if bad
            else '<p class="all good">Everything is as it should be.</p>'
        )
        + f"<h2>Readings</h2><dl>{_tiles(report)}</dl>"
        + f"<h2>What was looked at</h2><ul>{findings}</ul>"
        + f"<h2>Meters</h2>{_meters(report)}"
        + '<p class="soft"><a href="/status">/status</a> for scripts, '
        + '<a href="/metrics">/metrics</a> for Prometheus</p></body></html>\n'
    )


def _things(count: int) -> str:
    return "One thing needs a look." if count == 1 else f"{count} things need a look."


def _tiles(report: Mapping[str, Any]) -> str:
    waiting = sum(report[name] for name in ("closed", "queued", "witnessed", "published"))
    age_s = report["oldest_age_s"]
    tiles = {
        "final": f"{report['final']:,}",
        "on their way": f"{waiting:,}",
        "oldest of them": age_words(age_s) if age_s >= 0 else "none",
        "newest final": _clock(report["newest_final_s"]),
        "refused": f"{report['refused'] + report['apart']:,}",
        "gaps": f"{report['gaps']:,}",
        "disk": f"{report['disk']['used_percent']} %",
    }
    return "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in tiles.items())


def _clock(start_s: int) -> str:
    if not 0 <= start_s < _MOST_S:
        return "none"
    return time.strftime("%d %b %H:%M UTC", time.gmtime(start_s))


def _meters(report: Mapping[str, Any]) -> str:
    rows = []
    for bus, content in report["buses"].items():
        for name in content["meters"]:
            meter = report["meters"][name]
            errors = report["meter_errors"].get(name, {})
            said = ", ".join(f"{count} {kind}" for kind, count in errors.items()) or "none"
            last = meter["last_sequence"] if meter["last_sequence"] >= 0 else "none yet"
            state = "good" if meter["state"] == "live" else "bad"
            rows.append(
                f"<tr><th>{escape(name)}</th><td>{escape(bus)}</td>"
                f'<td class="{state}">{escape(meter["state"])}</td>'
                f'<td class="n">{last}</td><td>{escape(said)}</td></tr>'
            )
    return (
        "<table><thead><tr><th>meter</th><th>bus</th><th>state</th><th>last</th><th>errors</th>"
        f"</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )
