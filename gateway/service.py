"""One gateway, wired and run: buses → spool → witness → relay.

Decides only who knows whom, and that the end of one part is the end of all. What each part does is
its own module's business.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from gateway.config import BusConfig, GatewayConfig, load, other_than_buses
from gateway.config_table import BadConfiguration
from gateway.delivery.outbox import Outbox
from gateway.delivery.overview import meters_with_readings, overview
from gateway.delivery.reader import Reader
from gateway.delivery.receipts import Receipts
from gateway.delivery.relay import Relay
from gateway.delivery.room import Room
from gateway.delivery.spool import Spool
from gateway.delivery.witnessing import Statements, Witness
from gateway.lines.readout_line import line_for
from gateway.operation.clock_words import clock_report
from gateway.operation.control import ControlSocket, socket_path
from gateway.operation.status import StatusPage
from gateway.operation.symptoms import AS_IN_FILE
from gateway.place import Place
from gateway.polling.bus import BusActor
from gateway.polling.buses import Buses
from gateway.polling.schedule import INTERVAL_S
from gateway.receiver import receiver_for
from gateway.registered import Meter, Registration, SigningMeter, registration
from gateway.timing import FirstSync, NetworkClock, kernel_quality, quality_of
from gateway.watchdog import Heart, ServiceManager, reloading_state, watch
from hsm.audit import AuditFile
from hsm.rotation import StandingSigner, open_standing
from hsm.signstate import SignState, WitnessSigner
from hsm.token_process import KeyRefused
from hsm.uri import KeyUri
from wire.errors import Refused, Unavailable
from wire.genesis import Genesis
from wire.keys import PublicKey

_log = structlog.get_logger()

NOT_REGISTERED = (
    "the token's key is not the registered one, and nothing is signed: another token, or the"
    " genesis file is another network's"
)

_NOTHING_YET = -1


class HalfReloaded(Exception):
    """A new configuration could not be taken whole, and the old one is no longer in force."""


class Gateway:
    """The parts of one running gateway."""

    def __init__(
        self, config: GatewayConfig, genesis: Genesis, clock: NetworkClock, spool: Spool
    ) -> None:
        self._config = config
        self._genesis = genesis
        self._registered: Registration = registration(config, genesis, clock.now_ms() // 1000)
        self._spool = spool
        self._outbox = Outbox(spool)
        self._reader = Reader(spool, clock, self._registered.reader_key, genesis.paced_time)
        self._receipts = Receipts(self._outbox, genesis, clock)
        self._relay = Relay(
            config.id, genesis.topic_name, config.mqtt, self._outbox, self._receipts, clock
        )
        self._clock = clock
        self._time = FirstSync(
            config.spool.with_suffix(".clock"), config.wait_for_time and not genesis.paced_time
        )
        self._buses = Buses(self._actor, self._registered.buses)
        self._witness: Witness | None = None
        self.configuration = AS_IN_FILE
        """Whether the file's last change was taken, and why not."""
        self._place = Place(config.place, receiver_for(config.place))

    async def run(self) -> None:
        """Run every part until one of them ends or the task is cancelled."""
        await self._reader.begin(self._genesis.time_ms // 1000)
        with contextlib.ExitStack() as cleanup:
            token, found = self._config.token, self._registered
            reader_key = self._open(cleanup, (token.reader, token.reader_next), found.reader_key)
            witness_key = self._open(
                cleanup, (token.witness, token.witness_next), found.witness_key
            )
            state = SignState(self._config.spool.with_suffix(".signstate"))
            cleanup.callback(state.close)
            witness = self._witness = Witness(
                self._outbox,
                WitnessSigner(witness_key, state),
                self._statements(),
                self._config.batches,
                self._clock,
                self._last_interval_start_s,
            )
            manager = ServiceManager(os.environ)
            page = StatusPage(self._config.status, self.report)
            control = socket_path(self._config.spool)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(page.run())
                tasks.create_task(confirm_keys({"witness": witness_key, "reader": reader_key}))
                tasks.create_task(self._place.run())
                tasks.create_task(self._reader.run(reader_key.sign_all))
                tasks.create_task(witness.run(self._reader.queued))
                tasks.create_task(self._relay.run(witness.witnessed))
                tasks.create_task(self._buses.run())
                tasks.create_task(ControlSocket(control, lambda: self._buses).run())
                tasks.create_task(watch(manager, self._hearts))
                await page.listening.wait()
                manager.tell("READY=1")

    async def reload(self, config: GatewayConfig) -> str:
        """Take another configuration's buses and meters, and return in words what changed.

        Raises Refused when something else differs, which needs a new start, or when the registry
        does not agree; the old configuration then stays in force. Raises HalfReloaded when it
        does not, and the new one is not in force either.
        """
        if differing := other_than_buses(self._config, config):
            raise BadConfiguration(f"{', '.join(differing)} changed: that needs a new start")
        registered = registration(config, self._genesis, self._clock.now_ms() // 1000)
        try:
            words = await self._buses.become(registered.buses)
        except Exception as reason:
            polled = ", ".join(actor.name for actor in self._buses) or "no bus"
            raise HalfReloaded(
                f"{_said(reason)}; only {polled} is polled now: reload again, or start anew"
            ) from reason
        self._config, self._registered = config, registered
        return words

    def _actor(self, bus: BusConfig, meters: tuple[Meter, ...]) -> BusActor:
        actor = BusActor(bus, meters, line_for(bus), (self._spool, self._reader), self._clock)
        actor.time_is_known = self._time.ready
        if not self._genesis.paced_time:
            actor.own_clock = kernel_quality
        return actor

    def _hearts(self) -> list[Heart]:
        witness = [] if self._witness is None else [self._witness.heart]
        # On a full disk whoever brings readings waits for a person, which no restart makes shorter.
        buses = [] if self._spool.room.waiting else [actor.heart for actor in self._buses]
        return [self._reader.heart, self._relay.heart, *witness, *buses]

    def _open(
        self, cleanup: contextlib.ExitStack, names: tuple[str, str], pinned: PublicKey
    ) -> StandingSigner:
        """The registered key among the one in force and the one that is to follow it."""
        token = self._config.token
        audit = AuditFile(self._config.spool.with_suffix(".audit.jsonl"))
        uris = [KeyUri.parse(name, token.folder) for name in names if name]
        signer = open_standing(uris, token.softhsm2_conf, pinned, audit)
        cleanup.callback(signer.close)
        return signer

    def _statements(self) -> Statements:
        return Statements(
            self._config.id,
            self._genesis.topic_name,
            lambda: self._place.position(asyncio.get_running_loop().time()),
            self._genesis.paced_time,
        )

    async def report(self) -> Mapping[str, Any]:
        """What the status page says."""
        parts = [self._reader, self._witness]
        closed = await meters_with_readings(self._spool)
        ready = all(part is not None and part.token == "ready" for part in parts)
        return {
            "gateway": self._config.id,
            "network": self._genesis.topic_name,
            "spool": str(self._config.spool.resolve()),
            "configuration": self.configuration,
            "last_interval_start_s": self._last_interval_start_s(),
            **await overview(self._spool, self._clock.now_ms()),
            "gaps": self._reader.gaps,
            "meters": {
                name: self._meter(actor, name, name in closed)
                for actor in self._buses
                for name in actor.meters
            },
            "broker": self._relay.broker,
            "broker_refusal": self._relay.refusal,
            "time": "known" if self._time.ready() else "waiting for the first synchronisation",
            "clock": clock_report(
                quality_of(self._genesis.paced_time),
                self._genesis,
                {name: each for actor in self._buses for name, each in actor.states.items()},
            ),
            "place": self._place.report(asyncio.get_running_loop().time()),
            "token": "ready" if ready else "away",
            "token_reason": next((each.reason for each in parts if each and each.reason), ""),
            "answers": dict(self._receipts.counts),
            "buses": {actor.name: actor.report() for actor in self._buses},
            "meter_errors": {
                name: dict(actor.errors_of(name)) for actor in self._buses for name in actor.meters
            },
        }

    def _last_interval_start_s(self) -> int:
        real_s = asyncio.get_running_loop().time()
        done = [
            each for actor in self._buses for each in actor.schedule.finished_boundaries(real_s)
        ]
        if not done or min(done) < INTERVAL_S:
            return _NOTHING_YET
        return min(done) - INTERVAL_S

    @staticmethod
    def _meter(actor: BusActor, name: str, closed: bool) -> dict[str, Any]:
        signing = isinstance(actor.meters[name], SigningMeter)
        last = (
            actor.records.next_sequences[name] - 1
            if signing
            else actor.schedule.done_s(name) // INTERVAL_S - 1
            if closed
            else _NOTHING_YET
        )
        said = actor.states.get(name)
        return {
            "state": str(actor.schedule.health(name)),
            "last_sequence": max(last, _NOTHING_YET),
            "kind": "signing" if signing else "modbus",
            **({} if said is None else {"meter": asdict(said)}),
        }


async def confirm_keys(keys: Mapping[str, StandingSigner]) -> None:
    """Say at the start, not at the first reading, that a key is not the registered one."""
    for name, key in keys.items():
        try:
            await asyncio.to_thread(key.confirm)
        except (Unavailable, Refused) as reason:
            if isinstance(reason, KeyRefused):
                _log.error(NOT_REGISTERED, key=name, reason=str(reason))


async def run(file: Path, config: GatewayConfig, clock: NetworkClock) -> None:
    """Run a gateway until SIGTERM or SIGINT; at SIGHUP read its file again.

    Args:
        file: the configuration file.
        config: what it said at the start.
        clock: network time.

    Raises:
        Refused: configuration and registry disagree.
        Unavailable: a port is taken.
    """
    genesis = Genesis.load(config.genesis)
    stop, again = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, again.set)
    spool = await Spool.open(config.spool, Room(config.spool))
    try:
        gateway = Gateway(config, genesis, clock, spool)
        work = asyncio.ensure_future(gateway.run())
        stopped = asyncio.ensure_future(stop.wait())
        reloading = asyncio.ensure_future(_reload_again(gateway, file, again))
        _log.info("gateway started", gateway=config.id, network=genesis.topic_name)
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        reloading.cancel()
        if not work.done():
            work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
    finally:
        await spool.close()
        _log.info("gateway ended", gateway=config.id)


async def _reload_again(gateway: Gateway, file: Path, again: asyncio.Event) -> None:
    """Read the file whenever it is said to have changed; a bad one changes nothing."""
    manager = ServiceManager(os.environ)
    while True:
        await again.wait()
        again.clear()
        manager.tell(reloading_state())
        try:
            words = await gateway.reload(load(file))
        except HalfReloaded as reason:
            _log.error("the reload failed half-way", file=str(file), reason=str(reason))
            gateway.configuration = f"the changed file was taken half-way only: {reason}"
        except Exception as reason:  # The gateway goes on, and hears the next SIGHUP.
            words = _said(reason)
            _log.error("the changed configuration is refused", file=str(file), reason=words)
            gateway.configuration = f"the changed file is refused, the old one holds: {words}"
        else:
            _log.info("the changed configuration holds", file=str(file), changes=words)
            gateway.configuration = AS_IN_FILE
        manager.tell("READY=1")


def _said(reason: BaseException) -> str:
    """Any exception in words: those of a group all, a bug's with its kind."""
    if isinstance(reason, BaseExceptionGroup):
        return "; ".join(map(_said, reason.exceptions))
    if isinstance(reason, Refused | Unavailable | OSError):
        return str(reason)
    return f"{type(reason).__name__}: {reason}"
