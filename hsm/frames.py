"""Messages over a pipe between a signer and its token process: four bytes of length, then CBOR."""

from typing import IO, Any

from wire import cbor

MAX_FRAME = 16 * 1024 * 1024

ANSWER_DONE = "done"
ANSWER_AWAY = "away"
ANSWER_PIN = "pin"
ANSWER_LOCKED = "locked"
ANSWER_KEY = "key"
ANSWER_NONE = "none"
"""How a request ended; what stands with it is the result, or the reason in words."""


def write_frame(pipe: IO[bytes], value: Any) -> None:
    """Write one message and flush it."""
    data = cbor.encode(value)
    pipe.write(len(data).to_bytes(4, "big") + data)
    pipe.flush()


def read_frame(pipe: IO[bytes]) -> Any:
    """Read one message; raises EOFError when the other side is gone."""
    size = int.from_bytes(_exactly(pipe, 4), "big")
    if size > MAX_FRAME:
        raise EOFError(f"a frame of {size} bytes")
    return cbor.decode(_exactly(pipe, size))


def _exactly(pipe: IO[bytes], count: int) -> bytes:
    data = pipe.read(count)
    if len(data) != count:
        raise EOFError("the other side is gone")
    return data
