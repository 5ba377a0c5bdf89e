"""What is known of what is registered: the genesis file's word, or a validator's.

Decides how an entry of some time, a key's holder and a change are looked up. The genesis file knows
nothing of what came later; a validator is asked for each entry once.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Protocol

from validator.client import Client, NotThere
from wire.genesis import Genesis
from wire.keys import PublicKey
from wire.transaction import Transaction

KeyHint = tuple[int, bytes]
"""What a signature says of its key: algorithm and key id."""

Entry = Mapping[str, Any]

KEYS_OF = {
    "authorities": ("key",),
    "technicians": ("key",),
    "gateways": ("witness_key", "reader_key"),
    "meters": ("key",),
}
"""Tables whose entries have keys, and under which names."""


class Known(Protocol):
    """Who tells what is registered."""

    source: str
    """Who it is, for people."""

    newest: bool
    """Whether it knows what came after the genesis file."""

    def entry(self, table: str, name: str, at_s: int) -> Entry | None:
        """An entry of the interval that starts then; None when nothing was registered."""

    def holders(self) -> Mapping[KeyHint, str]:
        """Whose keys are known, in words such as `technician tech-1`."""

    def change(self, transaction: bytes) -> Transaction | None:
        """A change by its id; None when it is not known."""


class ByGenesis:
    """What the genesis file has."""

    source = "the genesis file"
    newest = False

    def __init__(self, genesis: Genesis, changes: Iterable[Transaction] = ()) -> None:
        """Take the genesis file, and changes whose files are at hand."""
        self._genesis = genesis
        self._changes = {each.id: each for each in changes}

    def entry(self, table: str, name: str, at_s: int) -> Entry | None:
        """An entry, whatever the time."""
        return next((each for each in self._genesis.registry[table] if each["id"] == name), None)

    def holders(self) -> Mapping[KeyHint, str]:
        """Keys of authorities, technicians, gateways and meters."""
        found: dict[KeyHint, str] = {}
        for table in KEYS_OF:
            for entry in self._genesis.registry[table]:
                found |= keys_in(table, entry)
        return found

    def change(self, transaction: bytes) -> Transaction | None:
        """A change whose file is at hand."""
        return self._changes.get(transaction)


class ByValidator:
    """What a validator tells now; raises Unavailable when it does not."""

    newest = True

    def __init__(self, client: Client, source: str) -> None:
        """Take whom to ask."""
        self.source = source
        self._client = client
        self._told: Callable[[str, str], Entry] = cache(self._ask)

    def _ask(self, table: str, name: str) -> Entry:
        if table == "authorities":
            newest = self._client.rolls()[-1].authorities
            found = [each.model_dump() for each in newest if each.id == name]
            return {"history": [{"from_s": None, "entry": each} for each in found]}
        try:
            return self._client.entry(table, name)
        except NotThere:
            return {"history": []}

    def entry(self, table: str, name: str, at_s: int) -> Entry | None:
        """An entry of the interval that starts then."""
        found: Entry | None = None
        for step in self._told(table, name)["history"]:
            if step["from_s"] is None or step["from_s"] <= at_s:
                found = step["entry"]
        return found

    def holders(self) -> Mapping[KeyHint, str]:
        """Keys of authorities, technicians and gateways; meters are too many to ask for."""
        found: dict[KeyHint, str] = {}
        for authority in self._client.rolls()[-1].authorities:
            found |= keys_in("authorities", authority.model_dump())
        for table in ("technicians", "gateways"):
            for each in self._client.listed(table):
                if each["entry"] is not None:
                    found |= keys_in(table, each["entry"])
        return found

    def change(self, transaction: bytes) -> Transaction | None:
        """A change that a block has."""
        try:
            told = self._client.transaction(transaction)
        except NotThere:
            return None
        return None if told.transaction is None else opened(told.transaction)


def opened(text: str) -> Transaction:
    """A transaction as a validator tells it, hexadecimal; raises Malformed."""
    return Transaction.open(bytes.fromhex(text))


def keys_in(table: str, entry: Entry) -> dict[KeyHint, str]:
    """The keys of an entry, each with whose it is."""
    noun = {"authorities": "", "technicians": "technician "}.get(table, f"{table[:-1]} ")
    found = {}
    for name in KEYS_OF.get(table, ()):
        if entry.get(name):
            key = PublicKey.from_text(str(entry[name]))
            role = f" ({name.removesuffix('_key')})" if name != "key" else ""
            found[key.alg, key.kid] = f"{noun}{entry['id']}{role}"
    return found
