"""Registers as numbers and texts, in every order that makers put their bytes in."""

import struct
from typing import Literal

from drivers.float32 import shortest
from gateway.model import Value

Type = Literal[
    "bool", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64", "string", "bits"
]
Order = Literal["big", "little", "word-swapped", "byte-swapped"]
"""Of ABCD: big is ABCD, little DCBA, word-swapped CDAB, byte-swapped BADC."""

FORMATS = {
    "bool": ">H",
    "bits": ">H",
    "int16": ">h",
    "uint16": ">H",
    "int32": ">i",
    "uint32": ">I",
    "int64": ">q",
    "uint64": ">Q",
    "float32": ">f",
    "float64": ">d",
}
"""How `struct` calls them, high byte first."""

WIDTHS = {kind: struct.calcsize(form) // 2 for kind, form in FORMATS.items()}
"""In registers."""

INTEGERS = ("int16", "uint16", "int32", "uint32", "int64", "uint64")

REGISTER_BITS = 16


def ordered(data: bytes, order: Order) -> bytes:
    """Bytes as the line has them, the high byte first; and the other way round."""
    if order in ("little", "byte-swapped"):
        swapped = bytearray(data)
        swapped[::2], swapped[1::2] = data[1::2], data[::2]
        data = bytes(swapped)
    if order in ("little", "word-swapped"):
        data = b"".join(data[at : at + 2] for at in range(len(data) - 2, -1, -2))
    return data


def number(data: bytes, kind: Type) -> int | float:
    """What registers with the high byte first hold."""
    found: int | float = struct.unpack(FORMATS[kind], data)[0]
    return shortest(found) if kind == "float32" else found


def text(data: bytes) -> str:
    """Up to the first NUL, without the blanks that fill it up."""
    content = data.partition(b"\0")[0].strip()
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")


def registers(value: Value, kind: Type, length: int) -> bytes:
    """The bytes of a value, high byte first.

    Raises: ValueError, when it does not fit.
    """
    try:
        if kind == "string":
            content = str(value).encode()
            if len(content) > length:
                raise ValueError(f"longer than {length} bytes")
            return content.ljust(length + length % 2, b"\0")
        if kind in INTEGERS:
            value = round(float(value)) if isinstance(value, float) else int(value)
        return struct.pack(FORMATS[kind], value)
    except (struct.error, OverflowError):
        raise ValueError(f"no {kind}") from None


def decimals(factor: float) -> int | None:
    """Behind the point; None where a number is too fine to be written without an exponent."""
    written = repr(factor)
    if "e" in written:
        return None
    _, _, places = written.partition(".")
    return len(places.rstrip("0"))
