"""What the standard calls by a number: packets, properties, reasons, limits."""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final


class PacketType(IntEnum):
    """Source: section 2.1.2 [2.2.1], table 2-1."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


MAXIMUM_REMAINING_LENGTH: Final = 268_435_455
"""Source: section 2.1.4 [2.2.3]."""
LARGEST_PACKET: Final = 65_536
"""What we are ready to read, and tell the broker so; only a PUBLISH, which is not kept, may be larger."""
RECEIVE_MAXIMUM: Final = 0xFFFF
"""Where nobody says another one. Source: section 3.1.2.11.3."""

NORMAL_DISCONNECTION: Final = 0x00
UNSPECIFIED_ERROR: Final = 0x80
MALFORMED_PACKET: Final = 0x81
PROTOCOL_ERROR: Final = 0x82
UNSUPPORTED_PROTOCOL_VERSION: Final = 0x84
SERVER_BUSY: Final = 0x89
SESSION_TAKEN_OVER: Final = 0x8E
PACKET_IDENTIFIER_IN_USE: Final = 0x91
RECEIVE_MAXIMUM_EXCEEDED: Final = 0x93
PACKET_TOO_LARGE: Final = 0x95
MESSAGE_RATE_TOO_HIGH: Final = 0x96
QUOTA_EXCEEDED: Final = 0x97

PASSING: Final = frozenset({SERVER_BUSY, MESSAGE_RATE_TOO_HIGH, QUOTA_EXCEEDED})
"""A message refused for one of these may be taken later. Of the three the standard gives only the last one to
PUBACK (section 3.4.2.1), but brokers are not that strict, and a record must not be set aside for a busy hour."""

REASONS: Final[Mapping[int, str]] = MappingProxyType(
    {
        0x00: "Success",
        0x04: "Disconnect with will message",
        0x10: "No matching subscribers",
        0x80: "Unspecified error",
        0x81: "Malformed packet",
        0x82: "Protocol error",
        0x83: "Implementation specific error",
        0x84: "Unsupported protocol version",
        0x85: "Client identifier not valid",
        0x86: "Bad user name or password",
        0x87: "Not authorized",
        0x88: "Server unavailable",
        0x89: "Server busy",
        0x8A: "Banned",
        0x8B: "Server shutting down",
        0x8C: "Bad authentication method",
        0x8D: "Keep alive timeout",
        0x8E: "Session taken over",
        0x8F: "Topic filter invalid",
        0x90: "Topic name invalid",
        0x91: "Packet identifier in use",
        0x92: "Packet identifier not found",
        0x93: "Receive maximum exceeded",
        0x94: "Topic alias invalid",
        0x95: "Packet too large",
        0x96: "Message rate too high",
        0x97: "Quota exceeded",
        0x98: "Administrative action",
        0x99: "Payload format invalid",
        0x9A: "Retain not supported",
        0x9B: "QoS not supported",
        0x9C: "Use another server",
        0x9D: "Server moved",
        0x9E: "Shared subscriptions not supported",
        0x9F: "Connection rate exceeded",
        0xA0: "Maximum connect time",
        0xA1: "Subscription identifiers not supported",
        0xA2: "Wildcard subscriptions not supported",
    }
)
"""Source: section 2.4, table 2-6."""


class Property(IntEnum):
    """Source: section 2.2.2.2, table 2-4."""

    PAYLOAD_FORMAT_INDICATOR = 0x01
    MESSAGE_EXPIRY_INTERVAL = 0x02
    CONTENT_TYPE = 0x03
    RESPONSE_TOPIC = 0x08
    CORRELATION_DATA = 0x09
    SUBSCRIPTION_IDENTIFIER = 0x0B
    SESSION_EXPIRY_INTERVAL = 0x11
    ASSIGNED_CLIENT_IDENTIFIER = 0x12
    SERVER_KEEP_ALIVE = 0x13
    AUTHENTICATION_METHOD = 0x15
    AUTHENTICATION_DATA = 0x16
    REQUEST_PROBLEM_INFORMATION = 0x17
    WILL_DELAY_INTERVAL = 0x18
    REQUEST_RESPONSE_INFORMATION = 0x19
    RESPONSE_INFORMATION = 0x1A
    SERVER_REFERENCE = 0x1C
    REASON_STRING = 0x1F
    RECEIVE_MAXIMUM = 0x21
    TOPIC_ALIAS_MAXIMUM = 0x22
    TOPIC_ALIAS = 0x23
    MAXIMUM_QOS = 0x24
    RETAIN_AVAILABLE = 0x25
    USER_PROPERTY = 0x26
    MAXIMUM_PACKET_SIZE = 0x27
    WILDCARD_SUBSCRIPTION_AVAILABLE = 0x28
    SUBSCRIPTION_IDENTIFIER_AVAILABLE = 0x29
    SHARED_SUBSCRIPTION_AVAILABLE = 0x2A


def reason_name(code: int) -> str:
    return REASONS.get(code, f"reason code 0x{code:02x}")
