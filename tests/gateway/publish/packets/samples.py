"""Values for the tests of the codec."""

from hypothesis import strategies as st

from gateway.publish.broker import Version
from gateway.publish.packets import encoding
from gateway.publish.publisher import Message

VERSIONS: tuple[Version, ...] = ("5", "3.1.1")

versions = st.sampled_from(VERSIONS)
identifiers = st.integers(1, 0xFFFF)
texts = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cn"]), max_size=40
)  # no surrogates, controls, noncharacters
optional_texts = st.none() | texts
topics = texts.map(lambda text: "t" + text.translate({ord("+"): "_", ord("#"): "_"}))
messages = st.builds(Message, topics, st.binary(max_size=300), st.booleans(), st.sampled_from([0, 1]))


def packet(first: int, rest: bytes) -> bytes:
    return bytes([first]) + encoding.variable_byte_integer(len(rest)) + rest
