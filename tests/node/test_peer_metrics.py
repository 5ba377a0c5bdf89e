"""What the metrics page says of links and peers."""

import re

from validator.api.peer_metrics import text
from validator.node.conduct import Conduct
from validator.node.frames import KINDS

NOW_S = 1_000.0


def page() -> str:
    good, bad = Conduct(), Conduct()
    good.sends(KINDS["get-batch"], 40, NOW_S)
    good.traffic.received.update({"batch": 500, "prepare": 100, "commit": 20})
    bad.traffic.received.update({"prepare": 7})
    for _ in range(1_200):
        bad.admits(KINDS["get-block"], NOW_S)
    bad.nonsense("no frame", NOW_S)
    return text({"val-2": good, "val-3": bad}, {"val-2": 0, "val-3": 9}, NOW_S)


def test_bytes_are_counted_by_kind_over_all_and_by_class_for_each() -> None:
    lines = page().splitlines()
    for line in (
        'gridwitness_p2p_message_receive_bytes_total{message_type="prepare"} 107',
        'gridwitness_p2p_message_send_bytes_total{message_type="get-batch"} 40',
        'gridwitness_p2p_peer_receive_bytes_total{peer_id="val-2",chID="votes"} 120',
        'gridwitness_p2p_peer_receive_bytes_total{peer_id="val-2",chID="batches"} 500',
        'gridwitness_p2p_peer_pending_send_bytes{peer_id="val-3"} 9',
    ):
        assert line in lines


def test_scores_and_pauses_name_the_peer() -> None:
    lines = page().splitlines()
    for line in (
        'gridwitness_p2p_peer_score{peer_id="val-2"} 100',
        'gridwitness_p2p_peer_score{peer_id="val-3"} 50',
        'gridwitness_p2p_peer_cut_seconds{peer_id="val-3",from="bulk"} 10',
        'gridwitness_p2p_peer_cut_seconds{peer_id="val-3",from="all"} 0',
        'gridwitness_p2p_peer_unread_frames_total{peer_id="val-3",message_type="get-block"} 200',
    ):
        assert line in lines


def test_each_line_is_prometheus_text() -> None:
    line = re.compile(r'# TYPE \w+ (counter|gauge)|\w+\{(\w+="[\w-]*",?)+\} [0-9.]+')
    assert [each for each in page().splitlines() if not line.fullmatch(each)] == []
    assert page().endswith("\n")
