"""What goes over the links, as Prometheus text, under CometBFT's names where it has one.

`chID` is the class of a frame (votes, blocks, batches), `message_type` its kind.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from validator.node.conduct import Conduct
from validator.node.frames import KINDS

Rows = Iterable[tuple[Mapping[str, str], float]]


def text(conducts: Mapping[str, Conduct], pending: Mapping[str, int], now_s: float) -> str:
    """Counters and scores of all peers.

    Args:
        conducts: by peer.
        pending: bytes that wait to be sent, by peer.
        now_s: by the mesh's clock.
    """
    traffic = {name: conduct.traffic for name, conduct in conducts.items()}
    received = {name: each.received for name, each in traffic.items()}
    sent = {name: each.sent for name, each in traffic.items()}
    unread = {name: each.left for name, each in traffic.items()}
    pauses = ((name, conduct.quiet_s(now_s), "bulk") for name, conduct in conducts.items())
    shut = ((name, conduct.shut_s(now_s), "all") for name, conduct in conducts.items())
    tables: list[tuple[str, str, Rows]] = [
        ("p2p_message_receive_bytes_total", "counter", _by_kind(received)),
        ("p2p_message_send_bytes_total", "counter", _by_kind(sent)),
        ("p2p_peer_receive_bytes_total", "counter", _by_class(received)),
        ("p2p_peer_send_bytes_total", "counter", _by_class(sent)),
        ("p2p_peer_pending_send_bytes", "gauge", (({"peer_id": p}, n) for p, n in pending.items())),
        ("p2p_peer_unread_frames_total", "counter", _by_peer(unread)),
        (
            "p2p_peer_score",
            "gauge",
            (({"peer_id": p}, round(c.score(now_s))) for p, c in conducts.items()),
        ),
        (
            "p2p_peer_cut_seconds",
            "gauge",
            (({"peer_id": p, "from": what}, round(left)) for p, left, what in (*pauses, *shut)),
        ),
    ]
    return "".join(_table(*each) for each in tables)


def _by_kind(counted: Mapping[str, Counter[str]]) -> Rows:
    total: Counter[str] = sum(counted.values(), Counter())
    return [({"message_type": kind}, total[kind]) for kind in KINDS]


def _by_class(counted: Mapping[str, Counter[str]]) -> Rows:
    for peer, counter in counted.items():
        classes: Counter[str] = Counter()
        for kind in KINDS.values():
            classes[kind.priority.name.lower()] += counter[kind.name]
        for name, amount in classes.items():
            yield {"peer_id": peer, "chID": name}, amount


def _by_peer(counted: Mapping[str, Counter[str]]) -> Rows:
    for peer, counter in counted.items():
        for kind, amount in sorted(counter.items()):
            yield {"peer_id": peer, "message_type": kind}, amount


def _table(name: str, kind: str, rows: Rows) -> str:
    full = f"gridwitness_{name}"
    lines = [f"# TYPE {full} {kind}"]
    for labels, value in rows:
        shown = ",".join(f'{label}="{content}"' for label, content in labels.items())
        lines.append(f"{full}{{{shown}}} {value}")
    return "\n".join(lines) + "\n"
