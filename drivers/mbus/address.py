"""Secondary addresses: a meter found by its identification, wherever on the bus it is."""

import re
from typing import NamedTuple, Self

_FORM = re.compile(r"([0-9F]{8})([0-9A-F]{8})?")
_ANY = "FFFFFFFF"
_IDENTIFICATION = 4
"""Bytes; the nibbles of it are compared one by one."""


class Secondary(NamedTuple):
    mask: bytes
    """As it goes on the line: identification low byte first, manufacturer, version, medium; F stands for any."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """From the form of other M-Bus tools: 8 digits, then manufacturer, version and medium as on the line.

        Raises: ValueError, with the allowed forms.
        """
        match = _FORM.fullmatch(text.upper())
        if match is None:
            raise ValueError(
                "must be a number from 0 to 250, 254 for the only meter on the bus, or a secondary address:"
                ' 8 digits such as "12345678", or 16 such as "123456782D2C0804", with F for any'
            )
        number, rest = match.groups()
        return cls(bytes.fromhex(number)[::-1] + bytes.fromhex(rest or _ANY))

    def matches(self, sent: bytes) -> bool:
        """Whether a meter that sends this in its header is the one; one that sends nothing may be."""
        return not sent or all(
            wanted in (found, 0xFF) or (index < _IDENTIFICATION and _nibbles_match(wanted, found))
            for index, (wanted, found) in enumerate(zip(self.mask, sent, strict=True))
        )


def _nibbles_match(wanted: int, found: int) -> bool:
    return all(wanted >> shift & 0xF in (found >> shift & 0xF, 0xF) for shift in (0, 4))
