"""Which messages there are, what they are called, and how each is read."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache

from drivers.driver import Metric, Names
from drivers.ubx.instruments import ESF, HNR_RATES, MON, TIM
from drivers.ubx.layout import Layout, Value, parse
from drivers.ubx.navigation import HNR, NAV
from drivers.ubx.reader import Reader
from drivers.ubx.wording import LABELS, RENAMED

CLASSES = {
    0x01: "NAV", 0x02: "RXM", 0x03: "TRK", 0x04: "INF", 0x05: "ACK", 0x06: "CFG", 0x08: "TUN", 0x09: "UPD",
    0x0A: "MON", 0x0B: "AID", 0x0C: "DBG", 0x0D: "TIM", 0x10: "ESF", 0x13: "MGA", 0x21: "LOG", 0x27: "SEC",
    0x28: "HNR", 0x29: "NAV2",
}  # fmt: skip

_IDS = {
    "NAV": (
        "01 POSECEF 02 POSLLH 03 STATUS 04 DOP 05 ATT 06 SOL 07 PVT 09 ODO 10 RESETODO 11 VELECEF 12 VELNED"
        " 13 HPPOSECEF 14 HPPOSLLH 17 PVAT 20 TIMEGPS 21 TIMEUTC 22 CLOCK 23 TIMEGLO 24 TIMEBDS 25 TIMEGAL"
        " 26 TIMELS 27 TIMEQZSS 28 NMI 30 SVINFO 31 DGPS 32 SBAS 34 ORB 35 SAT 36 COV 39 GEOFENCE 3b SVIN"
        " 3c RELPOSNED 3d EELL 40 EKFSTATUS 42 SLAS 43 SIG 45 DAHEADING 60 AOPSTATUS 61 EOE 62 PL 63 TIMENAVIC"
        " 64 TIMETRUSTED"
    ),
    "NAV2": (
        "01 POSECEF 02 POSLLH 03 STATUS 04 DOP 07 PVT 09 ODO 11 VELECEF 12 VELNED 17 PVAT 20 TIMEGPS 21 TIMEUTC"
        " 22 CLOCK 23 TIMEGLO 24 TIMEBDS 25 TIMEGAL 26 TIMELS 27 TIMEQZSS 32 SBAS 35 SAT 36 COV 3b SVIN 3d EELL"
        " 42 SLAS 43 SIG 61 EOE 63 TIMENAVIC"
    ),
    "RXM": (
        "10 RAW 11 SFRB 13 SFRBX 14 MEASX 15 RAWX 20 SVSI 30 ALM 31 EPH 32 RTCM 33 SPARTN 34 COR 36 SPARTN-KEY"
        " 40 POSREQ 41 PMREQ 59 RLM 61 IMES 72 PMP 73 QZSSL6 74 TM 80 MEASD12 82 MEASC12 84 MEAS20 86 MEAS50"
    ),
    "INF": "00 ERROR 01 WARNING 02 NOTICE 03 TEST 04 DEBUG",
    "ACK": "00 NAK 01 ACK",
    "CFG": (
        "00 PRT 01 MSG 02 INF 04 RST 06 DAT 07 TP 08 RATE 09 CFG 0e FXN 11 RXM 12 EKF 13 ANT 16 SBAS 17 NMEA"
        " 1b USB 1d TMODE 1e ODO 22 NVS 23 NAVX5 24 NAV5 29 ESFGWT 31 TP5 32 PM 34 RINV 39 ITFM 3b PM2 3d TMODE2"
        " 3e GNSS 41 OTP 47 LOGFILTER 4c ESFA 4d ESFG 53 TXSLOT 56 ESFALG 57 PWR 5c HNR 60 ESRC 61 DOSC 62 SMGR"
        " 64 SPT 69 GEOFENCE 70 DGNSS 71 TMODE3 82 ESFWT 84 FIXSEED 85 DYNSEED 86 PMS 88 SENIF 8a VALSET"
        " 8b VALGET 8c VALDEL 8d SLAS 93 BATCH"
    ),
    "UPD": "14 SOS",
    "MON": (
        "02 IO 04 VER 06 MSGPP 07 RXBUF 08 TXBUF 09 HW 0b HW2 21 RXR 27 PATCH 28 GNSS 2b PT2 2e SMGR 2f SPT 31 SPAN"
        " 35 PMP 36 COMMS 37 HW3 38 RF 39 SYS"
    ),
    "AID": "00 REQ 01 INI 02 HUI 10 DATA 30 ALM 31 EPH 32 ALPSRV 33 AOP 50 ALP",
    "TIM": "01 TP 03 TM2 04 SVIN 06 VRFY 11 DOSC 12 TOS 13 SMEAS 15 VCOCAL 16 FCHG 17 HOC",
    "ESF": "02 MEAS 03 RAW 04 CAL 10 STATUS 13 RESETALG 14 ALG 15 INS",
    # MGA messages but 80 are told apart by the first byte of their payload.
    "MGA": (
        "0001 GPS-EPH 0002 GPS-ALM 0004 GPS-HEALTH 0005 GPS-UTC 0006 GPS-IONO 0201 GAL-EPH 0202 GAL-ALM"
        " 0203 GAL-TIMEOFFSET 0205 GAL-UTC 0207 GAL-OSNMA-PUBKEY 0208 GAL-OSNMA-MERKLE 0301 BDS-EPH 0302 BDS-ALM"
        " 0304 BDS-HEALTH 0305 BDS-UTC 0306 BDS-IONO 0501 QZSS-EPH 0502 QZSS-ALM 0504 QZSS-HEALTH 0601 GLO-EPH"
        " 0602 GLO-ALM 0603 GLO-TIMEOFFSET 1000 SF-INI 1010 SF-INI2 2000 ANO 2101 FLASH-DATA 2102 FLASH-STOP"
        " 2103 FLASH-ACK 4000 INI-POS-XYZ 4001 INI-POS-LLH 4010 INI-TIME-UTC 4011 INI-TIME-GNSS 4020 INI-CLKD"
        " 4021 INI-FREQ 4030 INI-EOP 4040 INI-ATT 6000 NAK-DATA0 6001 ACK-DATA0 80 DBD 10 SF"
    ),
    "LOG": (
        "03 ERASE 04 STRING 07 CREATE 08 INFO 09 RETRIEVE 0b RETRIEVEPOS 0d RETRIEVESTRING 0e FINDTIME"
        " 0f RETRIEVEPOSEXTRA 10 RETRIEVEBATCH 11 BATCH"
    ),
    "SEC": "01 SIGN 03 UNIQID 09 SIG 0a OSNMA 10 SIGLOG",
    "HNR": "00 PVT 01 ATT 02 INS",
}
"""Hexadecimal ids within each class, and the names."""

NAMES = {
    bytes([number]) + bytes.fromhex(each): f"{name}-{message}"
    for number, name in CLASSES.items()
    for each, message in zip(_IDS.get(name, "").split()[::2], _IDS.get(name, "").split()[1::2], strict=True)
}

TEXTS = {
    f"{name}-{message}": text
    for name, texts in {
        "NAV": NAV,
        "NAV2": {message: NAV[message] for message in _IDS["NAV2"].split()[1::2]},
        "HNR": {**HNR, "INS": HNR_RATES},
        "MON": MON,
        "TIM": TIM,
        "ESF": ESF,
    }.items()
    for message, text in texts.items()
}

MESSAGES = frozenset(NAMES.values()) & TEXTS.keys()
"""That can give readings."""

ONLY_WHEN_ASKED_FOR = frozenset(
    {
        *(f"{name}-{each}" for name in ("NAV", "NAV2") for each in ("SAT", "SIG", "SBAS", "SLAS", "TIMELS")),
        "NAV-SVINFO", "NAV-ORB", "NAV-DGPS", "NAV-HPPOSECEF", "MON-TXBUF", "MON-RXBUF", "ESF-MEAS",
    }
)  # fmt: skip
"""Long lists, and what other messages say as well."""

_VARIANTS: dict[str, Callable[[bytes], str]] = {
    "NAV-RELPOSNED": lambda payload: "NAV-RELPOSNED-V0" if payload[0] == 0 else "NAV-RELPOSNED",
    "NAV-DAHEADING": lambda payload: "NAV-DAHEADING" if payload[0] == 2 else "NAV-DAHEADINGHP",  # noqa: PLR2004 - its version
    "NAV-AOPSTATUS": lambda payload: "NAV-AOPSTATUS-L" if len(payload) == 20 else "NAV-AOPSTATUS",  # noqa: PLR2004 - its size
}
"""Messages that older or newer receivers send in another form."""

_OLD_HARDWARE = 68
"""Bytes of MON-HW from u-blox 5 and 6: it tells of more pins, which stand before the jamming."""

_DESCRIBED = 64
"""Places of a list that have names of their own."""
_STAR = re.compile(r"\.\d+\.")
_MGA = 0x13
_MGA_DBD = 0x80


def name_of(message: bytes, payload: bytes) -> str:
    """`NAV-PVT`; the rest as pyubx2 says it. `message`: class and id."""
    known = NAMES.get(message)
    if message[0] == _MGA and payload and message[1] != _MGA_DBD:
        known = NAMES.get(message + payload[:1])
    return known or f"{CLASSES.get(message[0], 'UNKNOWN')}-{message.hex()}-NOMINAL"


def variant(name: str, payload: bytes, names: Names) -> str:
    """Which layout it has."""
    if name == "MON-HW" and names == "readable" and len(payload) == _OLD_HARDWARE:
        return "MON-HW-OLD"  # pyubx2 does not tell them apart
    choose = _VARIANTS.get(name)
    return choose(payload) if choose else name


@cache
def layout(form: str) -> Layout:
    return parse(TEXTS[form], RENAMED)


def prefix(name: str) -> str:
    """Of the readable names: a receiver's second solution is not mixed with its first."""
    return "nav2." if name.startswith("NAV2-") else ""


def reader(form: str, names: Names) -> Reader:
    return Reader(layout(form), names, prefix(form))


def metrics(messages: Iterable[str], names: Names) -> Mapping[str, Metric]:
    """What these messages give."""
    forms = [form for form in TEXTS if _without_variant(form) in messages]
    described: dict[str, Metric] = {}
    for form in forms:
        found = layout(form)
        for value in found.head.values.values():
            if names == "protocol":
                described[value.name] = _metric(value, names)
            elif value.readable:
                described[prefix(form) + _STAR.sub(".*.", value.readable)] = _metric(value, names)
        for group in found.groups:
            for value in group.block.values.values():
                if names == "protocol":
                    metric = _metric(value, names)
                    described |= {f"{value.name}_{place:02}": metric for place in range(1, 1 + _DESCRIBED)}
                elif value.readable:
                    described[f"{prefix(form)}{group.name}.*.{value.readable}"] = _metric(value, names)
    return described


def _without_variant(form: str) -> str:
    return "-".join(form.split("-")[:2]).removesuffix("HP")


def _metric(value: Value, names: Names) -> Metric:
    unit = value.unit
    counted = value.kind != "C" and (names == "protocol" or not unit.choices)
    if names == "protocol":
        return Metric(unit.sent or unit.ucum, value.name, "", unit.state_class if counted else "")
    label = LABELS.get(value.readable) or value.readable.rsplit(".", 1)[-1].replace("_", " ").capitalize()
    if value.readable in ("date", "time"):
        return Metric("", label)
    return Metric(unit.ucum, label, unit.device_class, unit.state_class if counted else "")
