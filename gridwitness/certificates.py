"""X.509 certificates of a network: a small CA for the broker, one certificate for each name.

Decides names, lifetimes and what a certificate may be used for. What its holder may do is decided
by the broker's access list and by the validators' signed address records, not here.
"""

import contextlib
import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hsm.durable import write_new
from wire.errors import Malformed

CERTIFICATE_DAYS = 825
CA_DAYS = 3650

SERVER = (ExtendedKeyUsageOID.SERVER_AUTH,)
CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)
PEER = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


@dataclass(frozen=True, slots=True)
class Credential:
    """A certificate with its private key (P-256)."""

    certificate: x509.Certificate
    """The certificate."""

    key: ec.EllipticCurvePrivateKey
    """Its private key."""

    @property
    def pem(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def write(self, certificate_path: Path, key_path: Path) -> None:
        """Write both as PEM, the key readable by its owner only."""
        certificate_path.write_bytes(self.pem)
        write_new(
            key_path,
            self.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )


def der(pem: bytes) -> bytes:
    """Return the DER bytes of a PEM certificate."""
    return x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)


def make_ca(name: str) -> Credential:
    """Make the CA of a network's broker."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(name, key, CA_DAYS).issuer_name(_name(name))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(sign_certificates=True), critical=True)
    return Credential(_authority_key(builder, key).sign(key, hashes.SHA256()), key)


def read_ca(certificate: Path, key: Path) -> Credential:
    """Read a CA that `make_ca` made; raises Malformed when the files are none."""
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        private = serialization.load_pem_private_key(key.read_bytes(), None)
    except ValueError as reason:
        raise Malformed(f"{certificate.parent} has no usable CA: {reason}") from None
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise Malformed(f"{key}: not a P-256 key")
    return Credential(found, private)


def issue(ca: Credential, name: str, usage: tuple[x509.ObjectIdentifier, ...]) -> Credential:
    """Issue a certificate for a name and what it may be used for."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(name, key, CERTIFICATE_DAYS).issuer_name(ca.certificate.subject)
    builder = _authority_key(_leaf(builder, name, usage), ca.key)
    return Credential(builder.sign(ca.key, hashes.SHA256()), key)


def self_signed(name: str, usage: tuple[x509.ObjectIdentifier, ...] = PEER) -> Credential:
    """Make a certificate that stands for itself: a validator's key will sign its fingerprint."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(name, key, CERTIFICATE_DAYS).issuer_name(_name(name))
    builder = _authority_key(_leaf(builder, name, usage), key)
    return Credential(builder.sign(key, hashes.SHA256()), key)


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(name: str, key: ec.EllipticCurvePrivateKey, days: int) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _leaf(
    builder: x509.CertificateBuilder, name: str, usage: tuple[x509.ObjectIdentifier, ...]
) -> x509.CertificateBuilder:
    addresses = {ipaddress.ip_address("127.0.0.1")}
    with contextlib.suppress(ValueError):  # A name, as a rule.
        addresses.add(ipaddress.ip_address(name))
    names = x509.SubjectAlternativeName(
        [
            x509.DNSName(name),
            x509.DNSName("localhost"),
            *(x509.IPAddress(each) for each in sorted(addresses, key=str)),
        ]
    )
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        .add_extension(names, critical=False)
    )


def _authority_key(
    builder: x509.CertificateBuilder, issuer: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())
    return builder.add_extension(identifier, critical=False)


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )
