"""Ports, for rules that are about them: what is said of devices, said of what they are behind."""

from collections.abc import Iterator, Mapping

from gateway.model import Availability, Presence

PORT_UP = "the port is open"


class Ports:
    def __init__(self, ports: Mapping[str, str]) -> None:
        self._ports = ports
        self._down: dict[str, bool] = {}

    def change(self, ports: Mapping[str, str]) -> None:
        """Devices are behind these from now on; what is known of a port that is still there stays known."""
        self._ports = ports
        self._down = {port: down for port, down in self._down.items() if port in ports.values()}

    def told(self, event: Availability) -> Iterator[Availability]:
        port = self._ports.get(event.device)
        if port is None or event.port_open is None:
            return
        down = not event.port_open
        if down is not self._down.get(port):
            self._down[port] = down
            presence = Presence.OFFLINE if down else Presence.ONLINE
            yield Availability(
                at=event.at, device=port, presence=presence, reason=event.reason if down else PORT_UP
            )
