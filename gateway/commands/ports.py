"""`sallyport ports`: the serial ports of this machine, and what stands in the way of opening them."""

import orjson

from drivers import ports
from drivers.ports import FoundPort


def run(*, as_json: bool) -> int:
    found = ports.found()
    for port in found:
        print(orjson.dumps(_fields(port)).decode() if as_json else _paragraph(port))
    if not found and not as_json:
        print(
            "no serial ports: nothing is plugged in that the system knows as one"
            " (`sudo dmesg --follow` shows what happens when you plug it in)"
        )
    return 0


def _fields(port: FoundPort) -> dict[str, object]:
    return {
        "device": port.device,
        "port": port.path,
        "usb": None if port.usb is None else str(port.usb),
        "description": port.description,
        "group": port.group(),
        "openable": port.openable(),
        "held_by": ports.holders(port.device),
    }


def _paragraph(port: FoundPort) -> str:
    lines = [port.device + (f"  {port.description}" if port.description else "")]
    lines.append(f'    port = "{port.path}"')
    if port.usb is not None:
        lines.append(f'    or     "{port.usb}"')
    if port.openable():
        lines.append(f"    belongs to group {port.group()}; you may open it")
    else:
        lines.append(f"    you may not open it{ports.who_may(port.device)}")
    if holders := ports.holders(port.device):
        lines.append(f"    in use by {' and '.join(holders)}")
    return "\n".join(lines)
