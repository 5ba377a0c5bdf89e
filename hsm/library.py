"""A vendor's PKCS#11 library, loaded and initialised the way every vendor's can be.

python-pkcs11 0.10 gives no way to make a token, nor to hand C_Initialize the text that some
libraries want (NSS's `configdir=…`); both are here. Which calls are made, and when, is decided by
`hsm.session`.
"""

import ctypes
from typing import Any

from pkcs11 import _pkcs11
from pkcs11.exceptions import FunctionFailed, PKCS11Error

_CKF_OS_LOCKING_OK = 2
_LABEL_SIZE = 32
# The head of CK_FUNCTION_LIST (PKCS#11 2.40 §3.6), as far as it is called here.
_FUNCTIONS = (
    *("C_Initialize", "C_Finalize", "C_GetInfo", "C_GetFunctionList", "C_GetSlotList"),
    *("C_GetSlotInfo", "C_GetTokenInfo", "C_GetMechanismList", "C_GetMechanismInfo"),
    "C_InitToken",
)


class _FunctionList(ctypes.Structure):
    _fields_ = (
        ("version", ctypes.c_ubyte * 2),
        *((name, ctypes.c_void_p) for name in _FUNCTIONS),
    )


class _InitializeArguments(ctypes.Structure):
    _fields_ = (
        *((f"mutex_{number}", ctypes.c_void_p) for number in range(4)),
        ("flags", ctypes.c_ulong),
        ("reserved", ctypes.c_char_p),
    )


class Library(_pkcs11.lib):
    """The library; `reserved` is what its own documentation wants in `pReserved`, else empty."""

    def __new__(cls, path: str, reserved: str = "") -> Any:
        """Load it; python-pkcs11 wants the path alone."""
        return super().__new__(cls, path)  # type: ignore[call-arg]

    def __init__(self, path: str, reserved: str = "") -> None:
        """Initialise it; raises PKCS11Error, or OSError when it is no library of this machine."""
        self._reserved = reserved
        self._is_up = False
        self._functions = _functions(path)
        super().__init__(path)

    def initialize(self) -> None:
        """C_Initialize; nothing when that was done.

        Without a text python-pkcs11 does it, with no arguments: "one thread only", as it is here.
        """
        if not self._reserved:
            super().initialize()
        if self._is_up or not self._reserved:
            return
        arguments = _InitializeArguments(flags=_CKF_OS_LOCKING_OK)
        arguments.reserved = self._reserved.encode()
        call = ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_void_p)(self._functions.C_Initialize)
        _check("C_Initialize", call(ctypes.byref(arguments)))
        self._is_up = True

    def finalize(self) -> None:
        """C_Finalize: every session and object of it is void afterwards."""
        if not self._reserved:
            super().finalize()
        elif self._is_up:
            self._is_up = False
            call = ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_void_p)(self._functions.C_Finalize)
            _check("C_Finalize", call(None))

    def reinitialize(self) -> None:
        """C_Finalize and C_Initialize."""
        self.finalize()
        self.initialize()

    def init_token(self, slot: int, so_pin: str, label: str) -> None:
        """C_InitToken: what the slot's token held is gone. The label has at most 32 bytes."""
        padded = label.encode().ljust(_LABEL_SIZE)
        if len(padded) > _LABEL_SIZE:
            raise PKCS11Error(f"a token's label has at most {_LABEL_SIZE} bytes")
        pin = so_pin.encode()
        call = ctypes.CFUNCTYPE(
            ctypes.c_ulong, ctypes.c_ulong, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p
        )(self._functions.C_InitToken)
        _check("C_InitToken", call(slot, pin, len(pin), padded))


def _functions(path: str) -> Any:
    loaded = ctypes.CDLL(path)
    pointer = ctypes.POINTER(_FunctionList)()
    loaded.C_GetFunctionList.restype = ctypes.c_ulong
    _check("C_GetFunctionList", loaded.C_GetFunctionList(ctypes.byref(pointer)))
    return pointer.contents


def _check(name: str, code: int) -> None:
    if code:
        raise FunctionFailed(f"{name} answered 0x{code:x}")
