"""Validators that agree at once: they answer every batch with a receipt under real seals.

For benches and tests of a gateway, which must not wait for a network's rules. What they sign is
what a gateway verifies; what they decide is always the same. Run as a program,
`python -m gridwitness.agreeing FOLDER HOST PORT`, it answers at the broker of a network's folder.
"""

import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from gateway.config import MqttConfig
from gateway.delivery.relay import tls_context
from hsm import filekey
from wire import merkle
from wire.answer import BatchReceipt, Refusal
from wire.block import Commit, Header, seal_message, transaction_leaves, transactions_root
from wire.genesis import Genesis
from wire.keys import Signer
from wire.links import Inclusion
from wire.results import ReadingResult, TxResult
from wire.witness import Batch


class Authorities:
    """A quorum that agrees at once."""

    def __init__(self, genesis: Genesis, keys: Mapping[str, Signer]) -> None:
        """Take a network and the keys of its validators."""
        self.genesis = genesis
        self.keys = keys
        self.height = 0

    def receipt(
        self, batch: Batch, code: int | Sequence[int] = 0, seals: int | None = None
    ) -> bytes:
        """The answer for a batch that is final: one code for every reading, or one for each."""
        self.height += 1
        codes = [code] * len(batch.readings) if isinstance(code, int) else code
        results = [
            ReadingResult(hashlib.sha256(reading).digest(), each, bytes(32), "z1").encoded
            for reading, each in zip(batch.readings, codes, strict=True)
        ]
        root = merkle.root([merkle.leaf_hash(each) for each in results])
        tx_result = TxResult(batch.batch_id, 0, root, bytes(32)).encoded
        transactions = (batch.witness.encoded,)
        result_leaves = [merkle.leaf_hash(tx_result)]
        header = Header(
            1,
            self.genesis.network,
            self.height,
            self.genesis.time_ms + 1000 * self.height,
            self.genesis.network,
            next(iter(self.keys)),
            self.genesis.validators.hash,
            self.genesis.validators.hash,
            bytes(32),
            hashlib.sha256(b"").digest(),
            transactions_root(transactions),
            merkle.root(result_leaves),
            bytes(32),
            bytes(32),
            bytes(32),
        )
        return BatchReceipt(
            batch.batch_id,
            header.encoded,
            self._commit(header, seals),
            Inclusion.of(transaction_leaves(transactions), 0),
            tx_result,
            Inclusion.of(result_leaves, 0),
            tuple(results),
        ).encoded

    def refusal(self, batch: Batch, validator: str, code: int) -> bytes:
        """One validator's refusal of a batch."""
        refusal = Refusal(self.genesis.network, batch.batch_id, validator, code, "for a test")
        return refusal.sign(self.keys[validator])

    def _commit(self, header: Header, seals: int | None) -> Commit:
        validators = self.genesis.validators
        message = seal_message(header.network, header.height, 0, header.digest)
        names = validators.ids[: validators.quorum if seals is None else seals]
        return Commit(
            0,
            header.digest,
            tuple((place, self.keys[name].sign(message)) for place, name in enumerate(names)),
        )


def main(folder: Path, host: str, port: int) -> None:
    """Answer every batch at a network's broker, for ever."""
    genesis = Genesis.load(folder / "genesis.json")
    keys: dict[str, Signer] = {}
    for name, _ in genesis.validators.members:
        home = folder / "validators" / name
        keys[name] = filekey.load(home / "key.pem", (home / "passphrase").read_bytes())
    authorities = Authorities(genesis, keys)
    speaker = next(iter(keys))
    home = folder / "validators" / speaker
    base = f"gridwitness/1/{genesis.topic_name}"
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=speaker, protocol=mqtt.MQTTv5)
    client.tls_set_context(
        tls_context(
            MqttConfig(host, port, folder / "ca/ca.pem", home / "mqtt.pem", home / "mqtt.key")
        )
    )

    def connected(client: mqtt.Client, *_: Any) -> None:
        client.subscribe(f"{base}/batch/+", 1)

    def answer(client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        gateway = message.topic.rpartition("/")[2]
        receipt = authorities.receipt(Batch.open(bytes(message.payload)))
        client.publish(f"{base}/receipt/{gateway}", receipt, 1)

    client.on_connect = connected
    client.on_message = answer
    client.connect(host, port)
    client.loop_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
