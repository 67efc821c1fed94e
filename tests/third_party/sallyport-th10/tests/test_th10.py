"""The driver passes the contract, and decodes what the protocol note shows."""

from sallyport_th10.codec import Frames

from drivers.testing.listening import ListeningContract


class TestContract(ListeningContract):
    name = "th10"


def test_frame_below_zero() -> None:
    [frame] = Frames().feed(bytes.fromhex("aa ff 9c 02 26 55"))
    assert frame.values == {"temperature": -10.0, "humidity": 55.0}
