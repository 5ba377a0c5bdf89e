"""A validator's signing key: an encrypted file, or a key inside a PKCS#11 token.

Decides only how it is opened, and that it is the one in the genesis file. What it has signed is
kept by `hsm.signstate` in the data folder, for both kinds alike.
"""

from hsm import filekey
from hsm.signer import open_signer
from hsm.uri import KeyUri
from validator.config import ValidatorConfig
from wire.errors import Malformed, Unavailable
from wire.keys import PublicKey, Signer


def open_key(config: ValidatorConfig, registered: PublicKey | None) -> Signer:
    """Open the key that a configuration names.

    Raises:
        Unavailable: file or passphrase cannot be read now. A token may be away at the start; its
            key signs as soon as it is there.
        Refused: it is no key, the passphrase is wrong, or it is not the registered one.
    """
    if registered is None:
        raise Malformed(f"{config.id} is no validator of this network")
    if isinstance(config.key, KeyUri):
        return open_signer(config.key, config.softhsm2_conf, registered)
    key = filekey.load(config.key, _passphrase(config))
    if key.public != registered:
        raise Malformed(f"the key of {config.id} is not the one in the genesis file")
    return key


def _passphrase(config: ValidatorConfig) -> bytes:
    assert config.passphrase_file is not None, "the configuration was checked"
    try:
        return config.passphrase_file.read_bytes().strip()
    except OSError as reason:
        raise Unavailable(f"the passphrase file {reason.filename}: {reason.strerror}") from None
