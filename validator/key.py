"""A validator's signing keys: encrypted files, or keys inside a PKCS#11 token.

Decides how they are opened, and which of them signs what is no vote: the one that the newest set
names. Which one votes at a height decides `validator.node.voice`; what a key has signed is kept by
`hsm.signstate` in the data folder, for both kinds alike.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from hsm import filekey
from hsm.signer import open_signer
from hsm.uri import KeyUri
from validator.config import ValidatorConfig
from wire.errors import Unavailable
from wire.keys import PublicKey, Signer

_log = structlog.get_logger()


def open_keys(config: ValidatorConfig, registered: PublicKey | None) -> list[Signer]:
    """Open the key that a configuration names, and the one that is to take its place.

    Without a registered key among them the validator follows and does not vote.

    Args:
        config: the validator's.
        registered: the key that the newest validator set has of it, None when it is not of it.

    Raises:
        Unavailable: file or passphrase cannot be read now. A token with the one registered key may
            be away at the start; the key signs as soon as it is there.
        Refused: it is no key, or the passphrase is wrong.
    """
    pinned = registered if config.next_key is None else None
    keys = [_open(config, config.key, pinned)]
    if config.next_key is not None:
        keys.append(_open(config, config.next_key, None))
    if all(key.public != registered for key in keys):
        known = ", ".join(key.public.kid.hex() for key in keys)
        wanted = "none" if registered is None else registered.kid.hex()
        _log.warning("follows and does not vote", registered=wanted, keys=known)
    return keys


def _open(config: ValidatorConfig, key: Path | KeyUri, pinned: PublicKey | None) -> Signer:
    if isinstance(key, KeyUri):
        return open_signer(key, config.softhsm2_conf, pinned)
    return filekey.load(key, _passphrase(config))


def _passphrase(config: ValidatorConfig) -> bytes:
    assert config.passphrase_file is not None, "the configuration was checked"
    try:
        return config.passphrase_file.read_bytes().strip()
    except OSError as reason:
        raise Unavailable(f"the passphrase file {reason.filename}: {reason.strerror}") from None


class KeyInForce:
    """Signs address records and refusals with the key that the newest set names."""

    def __init__(self, keys: Sequence[Signer], registered: Callable[[], PublicKey | None]) -> None:
        """Take the keys, and what tells the registered one."""
        self._keys = tuple(keys)
        self._registered = registered

    def _key(self) -> Signer:
        wanted = self._registered()
        return next((key for key in self._keys if key.public == wanted), self._keys[0])

    @property
    def public(self) -> PublicKey:
        """The key in force."""
        return self._key().public

    def sign(self, message: bytes) -> bytes:
        """Sign with it; raises Unavailable when it cannot sign now."""
        return self._key().sign(message)
