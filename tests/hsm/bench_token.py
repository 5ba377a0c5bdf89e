"""A real SoftHSM2 token in a folder of its own."""

from dataclasses import dataclass
from pathlib import Path

from hsm import ceremony
from hsm.signer import TokenSigner, open_signer
from hsm.uri import KeyUri
from wire.keys import PublicKey


@dataclass
class Token:
    """A token in a folder, and the signers that were opened on it."""

    folder: Path
    signers: list[TokenSigner]

    @property
    def conf(self) -> Path:
        return self.folder / "softhsm2.conf"

    @property
    def pin_file(self) -> Path:
        return self.folder / "pin"

    def uri(self, label: str) -> KeyUri:
        module = ceremony.softhsm_module()
        text = f"pkcs11:token=tok;object={label};type=private?module-path={module}"
        return KeyUri.parse(f"{text}&pin-source=file:pin", self.folder)

    def make(self, label: str, alg: int) -> PublicKey:
        return ceremony.make_key(self.uri(label), alg, self.conf)

    def open(self, label: str, pinned: PublicKey | None = None) -> TokenSigner:
        signer = open_signer(self.uri(label), self.conf, pinned)
        self.signers.append(signer)
        return signer
