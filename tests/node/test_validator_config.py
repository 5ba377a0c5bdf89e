from collections.abc import Callable
from pathlib import Path

import pytest

from gridwitness.configuration import toml
from hsm.uri import KeyUri
from validator import config
from wire.errors import Refused

Content = dict[str, object]


def content() -> Content:
    files = ("genesis", "peers", "data", "key", "passphrase_file", "tls_certificate", "tls_key")
    mqtt = {"host": "broker", "port": 8883, "ca": "ca.pem", "certificate": "c.pem", "key": "c.key"}
    addresses = {"listen": "127.0.0.1:8810", "api": "127.0.0.1:8800"}
    return {"id": "val-1", **{name: name for name in files}, **addresses, "mqtt": mqtt}


def load(folder: Path, edited: Content) -> config.ValidatorConfig:
    path = folder / "validator.toml"
    path.write_text(toml(edited))
    return config.load(path)


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    found = load(tmp_path, content())
    assert found.genesis == tmp_path / "genesis"
    assert found.mqtt.ca == tmp_path / "ca.pem"
    assert (found.api.host, found.api.port) == ("127.0.0.1", 8800)


def test_time_is_paced_only_where_a_file_is_named(tmp_path: Path) -> None:
    assert load(tmp_path, content()).paced_time_file is None
    assert load(tmp_path, content() | {"paced_time_file": ""}).paced_time_file is None
    paced = load(tmp_path, content() | {"paced_time_file": "pace"})
    assert paced.paced_time_file == tmp_path / "pace"


def test_others_are_known_from_a_file_from_bootnodes_or_from_both(tmp_path: Path) -> None:
    from_file = load(tmp_path, content())
    assert (from_file.peers, from_file.bootnodes) == (tmp_path / "peers", ())
    assert from_file.advertise == from_file.listen
    told = {"peers": "", "bootnodes": ["boot:1", "10.0.0.1:2"], "advertise": "here:3"}
    found = load(tmp_path, content() | told)
    assert (found.peers, [str(each) for each in found.bootnodes]) == (None, told["bootnodes"])
    assert str(found.advertise) == "here:3"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "[::]", "validator.example"])
def test_plain_http_is_for_loopback_only(tmp_path: Path, host: str) -> None:
    edited = content() | {"api": f"{host}:8800"}
    with pytest.raises(Refused, match="api_certificate"):
        load(tmp_path, edited)
    shown = {"api_certificate": "api.pem", "api_key": "api.key"}
    assert load(tmp_path, edited | shown).api_key == tmp_path / "api.key"
    with pytest.raises(Refused, match="go together"):
        load(tmp_path, edited | {"api_key": "api.key"})
    for loopback in ("127.0.0.2", "localhost", "[::1]"):
        assert load(tmp_path, content() | {"api": f"{loopback}:8800"}).api_key is None


def test_a_key_in_a_token_needs_no_passphrase(tmp_path: Path) -> None:
    uri = "pkcs11:token=t;object=k?module-path=/lib/p.so&pin-source=file:pin"
    edited = content() | {"key": uri}
    del edited["passphrase_file"]
    found = load(tmp_path, edited)
    assert isinstance(found.key, KeyUri)
    assert (found.key.token, found.key.pin_file) == ("t", tmp_path / "pin")


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda each: each.pop("peers"), "peers, bootnodes, or both"),
        (lambda each: each.update(bootnodes="boot:1"), "bootnodes needs a value of type list"),
        (lambda each: each.update(bootnodes=["boot"]), "bootnodes needs the form host:port"),
        (lambda each: each.update(bootnodes=["boot:1"], listen="0.0.0.0:1"), "say in advertise"),
        (lambda each: each.pop("key"), "key is missing: it needs text in quotes"),
        (lambda each: each.update(key=""), "key is empty"),
        (lambda each: each.update(key="pkcs11:object=k"), "names no token"),
        (lambda each: each.pop("passphrase_file"), "passphrase_file is needed"),
        (lambda each: each.update(colour="red"), "unknown keys: colour"),
        (lambda each: each.update(listen="8810"), "host:port"),
        (lambda each: each.update(api="127.0.0.1:0"), "host:port"),
        (lambda each: each.update(mqtt="broker"), "not a table"),
        (lambda each: each.update(mqtt=content()["mqtt"] | {"port": 70_000}), "port"),  # type: ignore[operator]
        (lambda each: each.update(mqtt=content()["mqtt"] | {"user": "me"}), "unknown keys"),  # type: ignore[operator]
    ],
)
def test_what_is_wrong_is_refused_by_its_name(
    tmp_path: Path, edit: Callable[[Content], object], words: str
) -> None:
    edited = content()
    edit(edited)
    with pytest.raises(config.BadConfiguration, match=words):
        load(tmp_path, edited)


def test_what_is_no_toml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "validator.toml"
    path.write_bytes(b"\xff = [")
    with pytest.raises(config.BadConfiguration, match="is not TOML"):
        config.load(path)


def test_a_file_that_is_nested_too_deeply_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "validator.toml"
    path.write_text("a = " + "[" * 5_000)
    with pytest.raises(Refused, match="is not TOML"):
        config.load(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[bus]]\nname = 'b'\n", "a gateway's configuration, and no validator's"),
        ("[project]\n", "some other configuration, and no validator's"),
        ('{"format": 1}', "no validator's configuration: it is not TOML"),
    ],
)
def test_another_kind_of_file_is_said_to_be_one(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "file"
    file.write_text(text)
    with pytest.raises(config.BadConfiguration, match=words):
        config.load(file)
