"""A certificate request (PKCS#10, RFC 2986) for a key that stays in its token.

The token signs the request, so that whoever issues the certificate sees that the key is there.
Decides its form only; names are given, and what the certificate is good for its issuer decides.
"""

from base64 import b64encode
from collections.abc import Sequence
from textwrap import wrap

from asn1crypto import algos, csr, keys, x509
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from hsm.publickey import to_der
from wire.keys import ES256, Signer


def request(signer: Signer, common_name: str, dns_names: Sequence[str] = ()) -> bytes:
    """The request as PEM; raises as `signer.sign`."""
    public = signer.public
    extensions = [
        {
            "extn_id": "subject_alt_name",
            "critical": False,
            "extn_value": [x509.GeneralName("dns_name", name) for name in dns_names],
        }
    ]
    info = csr.CertificationRequestInfo(
        {
            "version": "v1",
            "subject": x509.Name.build({"common_name": common_name}),
            "subject_pk_info": keys.PublicKeyInfo.load(to_der(public)),
            "attributes": [{"type": "extension_request", "values": [extensions]}]
            if dns_names
            else [],
        }
    )
    signature = signer.sign(info.dump())
    if public.alg == ES256:
        r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
        signature = encode_dss_signature(r, s)
    name = "sha256_ecdsa" if public.alg == ES256 else "ed25519"
    whole = csr.CertificationRequest(
        {
            "certification_request_info": info,
            "signature_algorithm": algos.SignedDigestAlgorithm({"algorithm": name}),
            "signature": signature,
        }
    )
    body = "\n".join(wrap(b64encode(whole.dump()).decode(), 64))
    return (
        f"-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n".encode()
    )
