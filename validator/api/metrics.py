"""Metrics as Prometheus text (exposition format 0.0.4), with CometBFT's names under our prefix."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Response

from validator.api import consensus_metrics, peer_metrics
from validator.api.doors import Guest
from validator.api.rest import status

if TYPE_CHECKING:
    from validator.service import Validator

MEDIA_TYPE = "text/plain; version=0.0.4"


def router(validator: "Validator") -> APIRouter:
    """The metrics page of one validator."""
    routes = APIRouter()

    @routes.get("/metrics", response_class=Response)
    async def show_metrics() -> Response:
        """Metrics."""
        counted = {
            "evidence": len(validator.application.offences()),
            "checked": validator.book.checked,
            "heard": validator.hearing.opened,
            "round_trip_ms": validator.driver.pace.round_trip_ms,
            "base_ms": validator.driver.pace.base_ms,
            "clock_off_ms": validator.watch.clock_off_ms,
            "connections": Guest.inside.total(),
            "turned_away": Guest.ended["turned away"],
            "given_up": Guest.ended["given up"],
        }
        mesh = validator.mesh
        links = peer_metrics.text(mesh.conducts, mesh.pending, time.monotonic())
        offenders = {offence.validator for offence, _ in validator.application.offences()}
        agreement = consensus_metrics.text(validator.watch.measures, len(offenders))
        page = text(status(validator) | counted) + agreement + links
        return Response(page, media_type=MEDIA_TYPE)

    return routes


def text(report: Mapping[str, Any]) -> str:
    """A report as Prometheus text."""
    rows = (
        ("consensus_height", "gauge", report["height"]),
        ("consensus_rounds", "gauge", report["round"]),
        ("consensus_round_trip_seconds", "gauge", report["round_trip_ms"] / 1000),
        ("consensus_round_timeout_seconds", "gauge", report["base_ms"] / 1000),
        ("consensus_latest_block_time_ms", "gauge", report["time_ms"]),
        ("consensus_evidence", "gauge", report["evidence"]),
        ("consensus_clock_off_seconds", "gauge", report["clock_off_ms"] / 1000),
        ("consensus_halted", "gauge", int(bool(report["halted"]))),
        ("blocksync_syncing", "gauge", int(report["target"] > report["height"])),
        ("p2p_peers", "gauge", len(report["peers"])),
        ("mempool_size", "gauge", report["mempool"]),
        ("broker_connected", "gauge", int(report["broker"] == "connected")),
        ("ledger_readings", "gauge", report["readings"]),
        ("consensus_messages_checked_total", "counter", report["heard"]),
        ("signatures_checked_total", "counter", report["checked"]),
        ("api_connections", "gauge", report["connections"]),
        ("api_connections_turned_away_total", "counter", report["turned_away"]),
        ("api_handshakes_given_up_total", "counter", report["given_up"]),
    )
    lines = []
    for name, kind, value in rows:
        full = f"gridwitness_{name}"
        lines += [f"# TYPE {full} {kind}", f"{full} {value}"]
    return "\n".join(lines) + "\n"
