"""What the verbs of `gridwitness network` do that change who rules; `change_arguments` names them.

Decides the words for people. What a change says is decided in `change_file`, a validator's folder
in `joining`.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridwitness.change_arguments import AT, SUFFIX
from validator.app.ruling import DELAY
from wire.errors import Refused, Unavailable

if TYPE_CHECKING:
    from gridwitness.change_file import Authorities, Standing
    from validator.client import Client
    from wire.transaction import Transaction

LOOK_S = 0.3


def _client(args: argparse.Namespace) -> "Client":
    from validator.client import Client
    from validator.desk import Trust

    return Client(args.at or [AT], trust=Trust(ca=args.ca))


def _told(args: argparse.Namespace, found: dict[str, Any], lines: Sequence[str]) -> int:
    print(json.dumps(found) if args.json else "\n".join(lines))
    return 0


# Making.


def join(args: argparse.Namespace) -> int:
    """Make a validator's folder and the change that lets it join."""
    from gridwitness import change_file, joining

    wanted, network = _joining(args)
    with _client(args) as client:
        standing = change_file.Standing.asked(client)
    if args.id in dict(standing.validators):
        raise Refused(f"{args.id} is a validator already: give its key another with rotate")
    if args.authority not in dict(standing.authorities):
        known = ", ".join(name for name, _ in standing.authorities)
        raise Refused(f"no authority {args.authority}: {known} are registered")
    step, key = joining.make_validator(args.dir, wanted)
    transaction = change_file.signed(standing.of_validators([step]), key)
    out = args.out or args.dir / f"{args.id}{SUFFIX}"
    change_file.write(out, transaction, new=True)
    lines = [f"{args.dir / 'validator.toml'} is written"]
    if network is not None:
        joining.let_in(network.broker, network.genesis, args.id)
        lines.append(f"{network.broker / 'acl'} lets it in: reload Mosquitto (kill -HUP)")
    else:
        lines.append("from the broker's operator: ca.pem, mqtt.pem and mqtt.key into that folder")
    found = {"change": str(out), "config": str(args.dir / "validator.toml")}
    found |= {"id": transaction.id.hex(), "key": key.public.text}
    return _told(args, found, [*lines, *_next(out, standing)])


def _joining(args: argparse.Namespace) -> tuple[Any, Any]:
    """What is to be made, and the test network that it joins, if it is one of `network init`."""
    from gridwitness.broker import Broker
    from gridwitness.joining import Joining
    from gridwitness.network import Network
    from gridwitness.plan import Address
    from validator.config import address
    from wire.genesis import Genesis

    def place(text: str, option: str) -> Address:
        found = address(text, option)
        return Address(found.host, found.port)

    network, ca = None, None
    genesis, peers, broker = args.genesis, args.peers, args.broker
    if args.network is not None:
        network = Network(args.network, Genesis.load(args.network / "genesis.json"))
        listener = Broker(network.broker)
        genesis, broker = genesis or network.genesis_path, f"{listener.host}:{listener.port}"
        peers, ca = peers or args.network / "peers.json", args.network / "ca"
    if genesis is None or broker is None:
        raise Refused("give --network, or --genesis and --broker")
    if peers is None and not args.bootnode:
        raise Refused("give --peers or --bootnode: how else does it find the others?")
    listen = place(args.listen, "--listen")
    api_port = 8800 if network is None else listen.port - 10
    return (
        Joining(
            id=args.id,
            authority=args.authority,
            genesis=genesis,
            peers=peers,
            bootnodes=tuple(args.bootnode),
            listen=listen,
            advertise=place(args.advertise or args.listen, "--advertise"),
            api=place(args.api or f"127.0.0.1:{api_port}", "--api"),
            broker=place(broker, "--broker"),
            authority_folder=ca,
        ),
        network,
    )


def rotate(args: argparse.Namespace) -> int:
    """Give a validator another key."""
    from device.provision.keys import signer_of
    from gridwitness import change_file, joining
    from validator import config

    settings = config.load(args.config)
    with _client(args) as client:
        standing = change_file.Standing.asked(client)
    if settings.id not in dict(standing.validators):
        raise Refused(f"{settings.id} is no validator now: a key is rotated of one that is")
    if settings.next_key is not None:
        raise Refused(f"{args.config}: next_key is there already; make it the key first")
    if args.new_key is None:
        name, key = joining.make_next_key(settings)
        step = joining.rotation(settings, key)
        transaction = change_file.signed(standing.of_validators([step]), key)
    else:
        name = args.new_key
        with signer_of(name, settings.passphrase_file, settings.softhsm2_conf) as key:
            step = joining.rotation(settings, key)
            transaction = change_file.signed(standing.of_validators([step]), key)
    out = args.out or Path(f"{settings.id}{SUFFIX}")
    change_file.write(out, transaction, new=True)
    joining.name_next_key(args.config, settings, name)
    assert step.key is not None
    found = {"change": str(out), "next_key": name}
    found |= {"id": transaction.id.hex(), "key": step.key.text}
    lines = [f"{args.config}: next_key = {name}; restart the validator before you submit"]
    return _told(args, found, [*lines, *_next(out, standing)])


def propose(args: argparse.Namespace) -> int:
    """Make a change, signed by one authority."""
    from device.provision.keys import signer_of
    from gridwitness import change_file

    with _client(args) as client:
        standing = change_file.Standing.asked(client)
    transaction = _proposed(args, standing)
    with signer_of(args.authority_key, args.passphrase_file, args.softhsm2_conf) as key:
        change_file.part_of(transaction, key.public, standing.authorities, "the validators")
        transaction = change_file.signed(transaction, key)
    change_file.write(args.out, transaction, new=True)
    words = change_file.steps_in_words(change_file.body_of(transaction), standing)
    found = {"change": str(args.out), "id": transaction.id.hex(), "steps": words}
    return _told(args, found, [*words, *_next(args.out, standing)])


def _proposed(args: argparse.Namespace, standing: "Standing") -> "Transaction":
    from wire.governance import AuthorityStep, ValidatorStep

    validators = [ValidatorStep("remove", name) for name in args.remove]
    validators += [ValidatorStep("expel", name) for name in args.expel]
    authorities = [AuthorityStep("revoke", name) for name in args.revoke_authority]
    for verb, pairs in (("add", args.add_authority), ("rotate", args.rotate_authority)):
        for pair in pairs:
            name, key = _pair(pair)
            title, kind = (args.name or name, "authority") if verb == "add" else ("", "")
            authorities.append(AuthorityStep(verb, name, title, kind, _public(key)))
    values = [_pair(pair) for pair in args.set]
    if sum(bool(each) for each in (validators, authorities, values)) != 1:
        raise Refused("one kind of change in a file: validators, authorities or parameters")
    if validators:
        return standing.of_validators(validators)
    if authorities:
        return standing.of_authorities(authorities)
    return standing.of_parameters(_values(values))


def _values(pairs: list[tuple[str, str]]) -> list[tuple[str, int]]:
    """Parameters that can be changed, and their numbers."""
    from gridwitness.plan import PARAMETERS
    from validator.app.governance import FIXED

    if not all(value.isdecimal() for _, value in pairs):
        raise Refused(
            "a parameter is a whole number that is not negative: --set block_interval_ms=2000"
        )
    known = sorted(PARAMETERS.keys() - FIXED)
    for name, _ in pairs:
        if name not in known:
            raise Refused(f"{name[:40]} cannot be changed; these can: {', '.join(known)}")
    return [(name, int(value)) for name, value in pairs]


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise Refused(f"{text}: give it as NAME=VALUE")
    return name, value


def _public(text: str) -> Any:
    from wire.keys import PublicKey

    path = Path(text)
    return PublicKey.from_text(path.read_text().strip() if path.is_file() else text)


def _next(out: Path, standing: "Standing") -> list[str]:
    return [
        f"{out} needs {standing.quorum} of {len(standing.authorities)} authorities; each looks and"
        " signs:",
        f"  gridwitness network show {out}",
        f"  gridwitness network sign {out} --authority-key KEY",
        f"then: gridwitness network submit {out}",
    ]


# From hand to hand.


def show(args: argparse.Namespace) -> int:
    """Say what a change does and who has signed."""
    from gridwitness import change_file

    transaction = change_file.read(args.file)
    with _client(args) as client:
        standing = change_file.Standing.asked(client)
        if transaction.network != standing.network:
            raise Refused(f"{args.file} is for another network than that of the validators asked")
        height = change_file.final_height(client, transaction)
        if height is not None:
            standing = change_file.Standing.asked(client, height + DELAY)
            state = [change_file.state_in_words(client, transaction.kind, height)]
    steps = change_file.steps_in_words(change_file.body_of(transaction), standing)
    signatures = change_file.signatures_in_words(transaction, standing)
    stale = height is None and change_file.is_stale(transaction, standing)
    late = height is None and transaction.expiry_height <= standing.height
    if height is None:
        state = [f"it may stand in a block up to {transaction.expiry_height}"]
    if stale:
        state.append("STALE: what it changes is no longer in force; it has to be made anew")
    if late:
        state.append("EXPIRED: no block may carry it any more")
    found: dict[str, Any] = {"id": transaction.id.hex(), "kind": transaction.kind, "steps": steps}
    found |= {"signatures": signatures, "stale": stale, "expired": late, "height": height}
    return _told(args, found | {"state": state}, [*steps, *signatures, *state])


def sign(args: argparse.Namespace) -> int:
    """Add an authority's signature to a file."""
    from device.provision.keys import signer_of
    from gridwitness import change_file

    transaction = change_file.read(args.file)
    standing, known, source = _authorities(args, transaction)
    lines = change_file.steps_in_words(change_file.body_of(transaction), standing)
    with signer_of(args.authority_key, args.passphrase_file, args.softhsm2_conf) as key:
        kid = key.public.kid.hex()
        who = f"the key {kid}"
        if known is not None:
            who = change_file.part_of(transaction, key.public, known, source)
        again = transaction.is_signed_by(key.public)
        transaction = change_file.signed(transaction, key)
    change_file.write(args.file, transaction)
    count = len(transaction.sign.signatures)
    did = f"{who} had signed it already" if again else f"signed by {who}"
    lines.append(f"{args.file}: {did}; {count} signature{'' if count == 1 else 's'} in all")
    if known is None:
        lines.append("not checked whether that is an authority's key: --genesis FILE or --at URL")
    found = {"id": transaction.id.hex(), "signatures": count, "kid": kid}
    return _told(args, found | {"who": who, "again": again}, lines)


def _authorities(
    args: argparse.Namespace, transaction: "Transaction"
) -> "tuple[Standing | None, Authorities | None, str]":
    """What is in force, whose keys count, and who says so: validators before the genesis file."""
    from gridwitness import change_file
    from wire.genesis import Genesis
    from wire.keys import PublicKey

    if args.at:
        with _client(args) as client:
            standing = change_file.Standing.asked(client)
        network, known, source = standing.network, standing.authorities, args.at[0]
    elif args.genesis is not None:
        genesis = Genesis.load(args.genesis)
        entries = genesis.registry["authorities"]
        found = tuple((each["id"], PublicKey.from_text(each["key"])) for each in entries)
        standing, network, known = None, genesis.network, found
        source = "the genesis file; what changed since, --at URL knows"
    else:
        return None, None, ""
    if transaction.network != network:
        raise Refused(f"{args.file} is for another network than {args.genesis or args.at[0]}")
    return standing, known, source


def submit(args: argparse.Namespace) -> int:
    """Hand a change to the validators and wait until a block has it."""
    from gridwitness import change_file, registry_file

    transaction = registry_file.together([change_file.read(path) for path in args.files])
    with _client(args) as client:
        client.submit(transaction)
        if not args.json:
            print("taken; waiting for a block", file=sys.stderr)
        height = _await_block(client, transaction, args.wait)
    found = {"id": transaction.id.hex(), "height": height, "holds_from": height + 2}
    words = f"final in block {height}: it holds from block {height + 2} on"
    return _told(args, found, [words])


def _await_block(client: "Client", transaction: "Transaction", wait_s: float) -> int:
    deadline_s = time.monotonic() + wait_s
    while time.monotonic() < deadline_s:
        told = client.transaction(transaction.id)
        if told.status == "final" and told.height is not None:
            return told.height
        if told.status == "refused":
            raise Refused(f"{told.reason}: {told.words}")
        time.sleep(LOOK_S)
    raise Unavailable(f"no block had it within {wait_s:.0f} s: submit it again, which is harmless")


def checkpoint(args: argparse.Namespace) -> int:
    """Write a checkpoint."""
    from gridwitness import following
    from wire.genesis import Genesis

    genesis = Genesis.load(args.genesis)
    with _client(args) as client:
        found = following.checkpoint(client, genesis, args.height or client.status().height)
    args.out.write_bytes(found.encoded)
    header = found.content
    ids = ", ".join(found.validators.ids)
    told = {"checkpoint": str(args.out), "height": header.height, "digest": header.digest.hex()}
    lines = [
        f"{args.out}: block {header.height} of {genesis.topic_name}, {header.digest.hex()}",
        f"the next block is sealed by {ids}",
    ]
    return _told(args, told, lines)
