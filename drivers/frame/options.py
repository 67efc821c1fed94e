"""What one writes to describe a frame."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from drivers.asking import AskingOptions
from drivers.checksum import CHECKSUMS
from drivers.device_class import DeviceClass
from gateway.units import Duration

Order = Literal["big", "little"]
Whole = Literal["u8", "u16", "u24", "u32", "u48", "u64", "i8", "i16", "i24", "i32", "i48", "i64"]
Type = Literal[
    "u8", "u16", "u24", "u32", "u48", "u64", "i8", "i16", "i24", "i32", "i48", "i64", "f32", "f64", "bcd", "ascii",
    "number",
]  # fmt: skip

LONGEST = 4096

_COUNTED = ("bcd", "ascii", "number")
"""Types that do not say how long they are."""


def _bytes(text: object) -> bytes:
    if isinstance(text, bytes):
        return text
    if not isinstance(text, str) or not re.fullmatch(r"\s*([0-9A-Fa-f]{2}\s*)*", text):
        raise ValueError('must be bytes in hexadecimal digits, such as "AA C0"')
    return bytes.fromhex(text)


def _known_checksum(name: str) -> str:
    if name not in CHECKSUMS:
        raise ValueError(f"must be one of {', '.join(CHECKSUMS)}")
    return name


Bytes = Annotated[
    bytes,
    BeforeValidator(_bytes),
    PlainSerializer(lambda value: None if value is None else value.hex(" ").upper()),
    WithJsonSchema({"type": "string", "pattern": r"^\s*([0-9A-Fa-f]{2}\s*)*$", "examples": ["AA C0"]}),
]
"""Written in hexadecimal digits, with or without spaces."""

Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\s+#/]+$")]


def width(of: str) -> int:
    """In bytes, of a type that says so."""
    return int(of[1:]) // 8


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Length(_Table):
    fixed: int | None = Field(default=None, ge=1, le=LONGEST, description="So many bytes, whatever they say.")
    at: int | None = Field(default=None, ge=0, le=LONGEST, description="Where the frame says how long it is.")
    type: Whole = Field(default="u8", description="How that is written: u8 to u64.")
    order: Order | None = Field(
        default=None, description="Which byte of it comes first, if not as elsewhere."
    )
    times: int = Field(default=1, ge=1, le=8, description="How many bytes each of what it counts has.")
    add: int = Field(
        default=0, ge=-LONGEST, le=LONGEST, description="Bytes of the whole frame that it does not count."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.fixed is None) == (self.at is None):
            raise ValueError("must have either fixed, or at: where the frame says how long it is")
        return self


class Checksum(_Table):
    name: Annotated[str, AfterValidator(_known_checksum)] = Field(
        json_schema_extra={"enum": [*CHECKSUMS]}, description="Which one: sum8, xor8, crc16-modbus and so on."
    )
    first: int = Field(default=0, ge=-LONGEST, le=LONGEST, description="The first byte that it covers.")
    last: int | None = Field(
        default=None,
        ge=-LONGEST,
        le=LONGEST,
        description="The last one; without it, the byte before the checksum.",
    )
    at: int | None = Field(
        default=None,
        ge=-LONGEST,
        le=LONGEST,
        description="Where it stands; without it, at the end, or before the end's bytes.",
    )
    order: Order | None = Field(
        default=None, description="Which byte of it comes first, if not as elsewhere."
    )
    accept: tuple[Bytes, ...] = Field(
        default=(),
        description="What may stand there instead, such as FF in devices that do not calculate it.",
    )

    @property
    def width(self) -> int:
        return CHECKSUMS[self.name][0]

    @model_validator(mode="after")
    def _as_wide(self) -> Self:
        if any(len(constant) != self.width for constant in self.accept):
            raise ValueError(
                f"has something in accept that is not {self.width} bytes long, as {self.name} is"
            )
        return self


class FieldOptions(_Table):
    at: int = Field(
        ge=-LONGEST, le=LONGEST, description="Its first byte, from 0; negative: counted from the frame's end."
    )
    type: Type = Field(
        default="u8", description="u8 to u64, i8 to i64, f32, f64, bcd, ascii or number (in digits)."
    )
    length: int | None = Field(default=None, ge=1, le=256, description="Bytes of bcd, ascii and number.")
    order: Order | None = Field(default=None, description="Which byte comes first, if not as elsewhere.")
    mask: int | None = Field(
        default=None, ge=1, description="Bits that count; the others are taken for zero."
    )
    shift: int = Field(default=0, ge=0, le=63, description="How far to shift to the right after that.")
    bits: tuple[int, int] | None = Field(
        default=None,
        description="The lowest and the highest bit that count, such as [4, 7]; 0 is the lowest.",
    )
    bit: int | None = Field(default=None, ge=0, le=63, description="A single bit, read as true or false.")
    scale: float = Field(default=1.0, allow_inf_nan=False, description="What one unit on the line is worth.")
    add: float = Field(default=0.0, allow_inf_nan=False, description="What is added after that.")
    enum: Mapping[str, str] = Field(
        default_factory=dict, description='Words for whole numbers: { 0 = "off", 0x10 = "on" }.'
    )
    valid: tuple[float, float] | None = Field(
        default=None, description="The least and the most it can be, scaled; anything else is dropped."
    )
    unit: str = Field(default="", max_length=32, description="Its UCUM code, such as Cel, kW.h or ug/m3.")
    label: str = Field(default="", max_length=128, description="What people call it.")
    device_class: DeviceClass = Field(default="", description="Home Assistant's word for it.")
    state_class: Literal["", "measurement", "total", "total_increasing"] | None = Field(
        default=None,
        description="measurement, total or total_increasing; a number is a measurement without it.",
    )

    @property
    def width(self) -> int:
        """In bytes."""
        return self.length or width(self.type)

    @property
    def is_whole(self) -> bool:
        return self.type not in ("bcd", "f32", "f64", "ascii", "number")

    @property
    def is_number(self) -> bool:
        return not self.enum and self.bit is None and self.type != "ascii"

    @field_validator("bits")
    @classmethod
    def _ascending(cls, bits: tuple[int, int] | None) -> tuple[int, int] | None:
        if bits is not None and not 0 <= bits[0] <= bits[1] <= 63:  # noqa: PLR2004 - of 64
            raise ValueError("must be [lowest, highest] within 0 to 63")
        return bits

    @field_validator("valid")
    @classmethod
    def _a_range(cls, valid: tuple[float, float] | None) -> tuple[float, float] | None:
        if valid is not None and not valid[0] <= valid[1]:
            raise ValueError("must be [least, most]")
        return valid

    @field_validator("enum")
    @classmethod
    def _of_whole_numbers(cls, enum: Mapping[str, str]) -> Mapping[str, str]:
        try:
            _words(enum)
        except ValueError:
            raise ValueError('must have whole numbers as keys, such as 3 or "0x1F"') from None
        return enum

    @model_validator(mode="after")
    def _has_a_place(self) -> Self:
        if (self.type in _COUNTED) != (self.length is not None):
            needed = "needs a length" if self.length is None else "must not have a length"
            raise ValueError(f"{needed}: it is {self.type}")
        if self.type == "bcd" and self.width > 9:  # noqa: PLR2004 - 18 digits, which 64 bits can hold
            raise ValueError("is too long for bcd: 9 bytes at most")
        if self.at < 0 < self.at + self.width:
            raise ValueError(f"reaches beyond the frame's end: it has {self.width} bytes")
        return self

    @model_validator(mode="after")
    def _has_its_bits(self) -> Self:
        if self.is_whole:
            highest = max(self.bit or 0, self.shift, self.bits[1] if self.bits else 0)
            if highest >= 8 * self.width:
                raise ValueError(
                    f"has no bit {highest}: it is {self.type}, with bits 0 to {8 * self.width - 1}"
                )
        return self

    @model_validator(mode="after")
    def _means_one_thing(self) -> Self:
        has_bits = self.mask is not None or self.shift or self.bits is not None or self.bit is not None
        if (has_bits or self.enum) and self.type in ("f32", "f64", "ascii", "number"):
            raise ValueError(f"has bits or an enum, which need a whole number, and is {self.type}")
        if (self.mask is not None or self.shift) + (self.bits is not None) + (self.bit is not None) > 1:
            raise ValueError("must have only one of bit, bits, and mask with shift")
        if not self.is_number and (self.scale != 1 or self.add or self.valid):
            raise ValueError("has scale, add or valid, which need a number: it is a text, a bit or an enum")
        if self.enum and self.bit is not None:
            raise ValueError("is a single bit, which is true or false: it must not have an enum")
        return self

    def words(self) -> Mapping[int, str]:
        """By the number on the line."""
        return _words(self.enum)


def _words(enum: Mapping[str, str]) -> Mapping[int, str]:
    return {int(number, 0): word for number, word in enum.items()}


class Match(_Table):
    at: int = Field(ge=-LONGEST, le=LONGEST, description="Where a frame says which one it is.")
    bytes: Bytes = Field(min_length=1, description="What this one says there, in hexadecimal digits.")


class FrameOptions(_Table):
    match: Match = Field(description="How this frame is told from the others.")
    fields: Mapping[Name, FieldOptions] = Field(
        default_factory=dict, description="What it holds besides the fields of all frames."
    )


class Options(AskingOptions):
    start: Bytes = Field(
        default=b"", max_length=16, description="What each frame begins with, such as AA C0."
    )
    end: Bytes = Field(default=b"", max_length=16, description="What each frame ends with.")
    length: Length | None = Field(
        default=None,
        description="How long a frame is: { fixed = 10 }, or { at = 2, type = u16, add = 4 } if it says so itself.",
    )
    silence: Duration | None = Field(
        default=None,
        ge=0.005,
        le=60,
        description="A silence of this length ends a frame; what has neither length nor end is ended by it alone.",
    )
    max_length: int = Field(
        default=256, ge=1, le=LONGEST, description="A frame that is longer than this is none, in bytes."
    )
    checksum: Checksum | None = Field(
        default=None, description="How a frame is checked: { name = sum8, first = 2, at = -2 }."
    )
    order: Order = Field(
        default="big", description='Which byte of a number comes first: "big", the highest, or "little".'
    )
    fields: Mapping[Name, FieldOptions] = Field(
        default_factory=dict, description="What a frame holds, by the names of its metrics."
    )
    frames: Mapping[Name, FrameOptions] = Field(
        default_factory=dict,
        description="Frames that hold different things, each with its own match and fields.",
    )
    request: Bytes | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="What is sent each interval; the answer is a frame. Without it, the device talks by itself.",
    )

    @property
    def asked_every(self) -> float:
        return 0 if self.request is None else self.interval

    @model_validator(mode="after")
    def _is_a_description(self) -> Self:
        if self.length is None and not self.end and self.silence is None:
            raise ValueError("has frames without an end: it needs length, end or silence")
        if not self.fields and not any(frame.fields for frame in self.frames.values()):
            raise ValueError("has no fields, so nothing will be read")
        if self.length is not None and not (self.start or self.end or self.checksum):
            raise ValueError("has nothing to know a frame by: it needs start, end or checksum")
        fixed = self.length.fixed if self.length is not None else None
        if fixed is not None and fixed > self.max_length:
            raise ValueError(f"has frames of {fixed} bytes: max_length must be {fixed} or more")
        self._check_within(fixed or self.max_length)
        return self

    def _check_within(self, length: int) -> None:
        described = [self.fields, *(frame.fields for frame in self.frames.values())]
        for name, field in [each for fields in described for each in fields.items()]:
            if field.at + field.width > length or field.at < -length:
                raise ValueError(f"has the field {name} outside its {length} bytes")
        if self.length is not None and self.length.at is not None and self.length.at >= length:
            raise ValueError(f"has its length outside its {length} bytes")
        if (checksum := self.checksum) is None:
            return
        at = -(checksum.width + len(self.end)) if checksum.at is None else checksum.at
        if not -length <= at <= length - checksum.width or -checksum.width < at < 0:
            raise ValueError(f"has its checksum outside its {length} bytes")
        last = at - 1 if checksum.last is None else checksum.last
        if (checksum.first < 0) == (last < 0) and checksum.first > last:
            raise ValueError(f"has a checksum of no bytes: from {checksum.first} to {last}")
