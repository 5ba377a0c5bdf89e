"""What a gateway needs before it can run: the files that it is told of, and keys named well.

Decides in which words a person hears which key of its file names what is missing, and who has it.
Whether a file's content is right is for those who read it.
"""

from collections.abc import Iterator
from pathlib import Path

from gateway.config import GatewayConfig
from gateway.config_table import BadConfiguration
from hsm.uri import KeyUri
from wire.errors import Refused, Unavailable

_OPERATOR = "the network's operator issues it"


def check(config: GatewayConfig, *keys: str) -> None:
    """Refuse to go on without what is needed; of everything, or of some keys of the file.

    Raises BadConfiguration naming all that is missing.
    """
    wrong = [words for key, words in _missing(config) if not keys or key in keys]
    if wrong:
        raise BadConfiguration("; ".join(wrong))


def wrong_with(config: GatewayConfig) -> list[str]:
    """Everything that is missing or named badly, a line each."""
    return [*(words for _, words in _missing(config)), *_bad_keys(config)]


def _missing(config: GatewayConfig) -> Iterator[tuple[str, str]]:
    for key, path, who in _files(config):
        if not path.exists():
            yield key, f"{key}: {path} is not there: {who}"
        elif path.is_dir():
            yield key, f"{key}: {path} is a folder, and a file is needed"
    if config.templates is not None and not config.templates.is_dir():
        yield "templates", f"templates: {config.templates} is no folder"
    if not config.spool.parent.is_dir():
        yield "spool", f"spool: the folder {config.spool.parent} is not there: make it"
    elif config.spool.is_dir():
        yield "spool", f"spool: {config.spool} is a folder, and a file is needed"


def _files(config: GatewayConfig) -> Iterator[tuple[str, Path, str]]:
    """Each key that names a file, its path, and where the file comes from."""
    yield "genesis", config.genesis, _OPERATOR
    yield "mqtt.ca", config.mqtt.ca, _OPERATOR
    yield "mqtt.certificate", config.mqtt.certificate, _OPERATOR
    yield "mqtt.key", config.mqtt.key, "it belongs to the certificate"
    if config.token.softhsm2_conf is not None:
        yield "token.softhsm2_conf", config.token.softhsm2_conf, "empty it for another token"
    for path in config.token.changes:
        yield "signed change", path, "gridwitness registry makes it, its operator signs it"
    for bus in config.buses:
        for meter in bus.meters:
            if meter.enrolment is not None:
                yield f"enrolment of {meter.id}", meter.enrolment, "its operator signs it"


def _bad_keys(config: GatewayConfig) -> Iterator[str]:
    token = config.token
    for key, uri in (
        ("witness", token.witness),
        ("reader", token.reader),
        ("witness_next", token.witness_next),
        ("reader_next", token.reader_next),
    ):
        if not uri and key.endswith("_next"):
            continue
        try:
            KeyUri.parse(uri, token.folder)
        except Refused as reason:
            yield f"token.{key}: {reason}"
        except Unavailable:
            continue  # A credential of the service, which is not this program.
