"""Asks a TPM 2.0 what PKCS#11 does not tell: how near it is to locking everybody out.

A TPM counts wrong PINs, and power cuts after a login as well; at its limit it takes no PIN for a
while, right or wrong. Read-only; speaks to the kernel's device or to swtpm's socket with the bytes
of TPM 2.0 Library part 3 (TPM2_GetCapability).
"""

import os
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from wire.errors import Unavailable

_NO_SESSIONS = 0x8001
_GET_CAPABILITY = 0x17A
_TPM_PROPERTIES = 6
_LOCKOUT_COUNTER = 0x20E
_ANSWER_HEAD = struct.Struct(">HII")
_TIMEOUT_S = 5.0
_KERNEL_DEVICES = (Path("/dev/tpmrm0"), Path("/dev/tpm0"))


@dataclass(frozen=True, slots=True)
class LockOut:
    """How a TPM guards against guessing."""

    failures: int
    """Wrong PINs and power cuts that it remembers."""

    limit: int
    """At so many it takes no PIN."""

    heals_s: int
    """Seconds after which it forgets one."""

    @property
    def locked(self) -> bool:
        """Whether it takes no PIN now."""
        return self.failures >= self.limit

    def __str__(self) -> str:
        """In words, with what to do."""
        said = f"{self.failures} of {self.limit} failures, one is forgotten in {self.heals_s} s"
        if self.locked:
            return f"locked: {said}; wait, or tpm2_dictionarylockout --clear-lockout"
        if self.failures:
            return f"{said}; a power cut counts as one: if that recurs, raise the limit"
        return said


def lock_out(environment: Mapping[str, str] = os.environ) -> LockOut:
    """Read the counters of the TPM that tpm2-pkcs11 uses.

    Raises:
        Unavailable: it cannot be asked now, or is reached by a way that is not known here.
    """
    asked = struct.pack(
        ">HIIIII", _NO_SESSIONS, 22, _GET_CAPABILITY, _TPM_PROPERTIES, _LOCKOUT_COUNTER, 3
    )
    with _opened(environment.get("TPM2_PKCS11_TCTI", "")) as channel:
        answer = exchange(channel, asked)
    # moreData, capability, count, then (property, value) each.
    if len(answer) < 9 + 3 * 8:
        raise Unavailable("the TPM does not tell its lock-out counters")
    failures, limit, heals_s = (
        struct.unpack_from(">I", answer, 9 + 8 * number + 4)[0] for number in range(3)
    )
    return LockOut(failures, limit, heals_s)


def exchange(channel: int, command: bytes) -> bytes:
    """One command and its answer without the head; raises Unavailable."""
    os.write(channel, command)
    answer = os.read(channel, 4096)
    if len(answer) < _ANSWER_HEAD.size:
        raise Unavailable("the TPM gave no answer")
    _, size, code = _ANSWER_HEAD.unpack_from(answer)
    if code or size != len(answer):
        raise Unavailable(f"the TPM answered 0x{code:x}")
    return answer[_ANSWER_HEAD.size :]


@contextmanager
def _opened(tcti: str) -> Iterator[int]:
    """A descriptor of the TPM's command channel, by tpm2-tss's word for it."""
    kind, _, place = tcti.partition(":")
    try:
        if kind == "swtpm" and place.startswith("path="):
            with socket.socket(socket.AF_UNIX) as channel:
                channel.settimeout(_TIMEOUT_S)
                channel.connect(place.removeprefix("path="))
                channel.setblocking(True)
                channel.setsockopt(
                    socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", int(_TIMEOUT_S), 0)
                )
                yield channel.fileno()
                return
        if kind not in ("", "device"):
            raise Unavailable(f"a TPM behind {kind}: is not asked from here")
        path = Path(place) if place else next(filter(Path.exists, _KERNEL_DEVICES), None)
        if path is None:
            raise Unavailable("no /dev/tpmrm0: is the TPM's driver loaded?")
        descriptor = os.open(path, os.O_RDWR)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
    except OSError as reason:
        raise Unavailable(f"the TPM: {reason.strerror}") from None
