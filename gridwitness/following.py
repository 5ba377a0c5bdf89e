"""Following a network's validators from the genesis file, by what its own API tells.

Decides nothing about trust: every change is checked by the seals of the set before it
(`wire.light`), whoever tells it.
"""

from itertools import pairwise

from validator.client import Client
from wire.block import Commit, ValidatorSet
from wire.genesis import Genesis
from wire.keys import PublicKey
from wire.light import Checkpoint, LightClient, SetChange


def follow(client: Client, genesis: Genesis, height: int) -> LightClient:
    """A light client that knows the sets up to the one that seals the block after `height`.

    Raises:
        Refused: what is told does not follow from the genesis file.
        Unavailable: nobody tells it now.
    """
    light = LightClient.of(genesis)
    for before, after in pairwise(client.rosters()):
        if before.hash == after.hash or after.from_height > height + 1:
            continue
        sealed = client.block(after.from_height - 1)
        members = tuple((each.id, PublicKey.from_text(each.key)) for each in after.validators)
        commit = Commit.decode(bytes.fromhex(sealed.commit))
        light.follow([SetChange(bytes.fromhex(sealed.header), commit, ValidatorSet(members))])
    return light


def checkpoint(client: Client, genesis: Genesis, height: int) -> Checkpoint:
    """A checkpoint at a block, whose header is checked from the genesis file on.

    Raises as `follow` does.
    """
    light = follow(client, genesis, height)
    sealed = client.block(height)
    header = bytes.fromhex(sealed.header)
    light.verify_header(header, Commit.decode(bytes.fromhex(sealed.commit)))
    return Checkpoint(header, light.validators(height + 1))
