"""What a line of the log is about, by which an operator finds it: `journalctl DEVICE=boiler`."""

from enum import StrEnum


class MessageId(StrEnum):
    """What has happened, whatever words the line has for it (systemd.journal-fields(7)). docs/logs.md lists them."""

    GATEWAY_STARTED = "429e0277496c4f949a6d5afd37c7855f"
    """The configuration is read, the gateway starts."""
    GATEWAY_READY = "af226bef395240bcac9ba17ab51b1cd2"
    """Journal, ports and rules are at work; broker and instruments may still be away."""
    GATEWAY_STOPPING = "d6f006f2768943cf80522be0880af15b"
    """A signal has asked it to stop."""
    GATEWAY_STOPPED = "c47a6df5c82b42ada321eefc0702738c"
    """It has stopped: what became of everything that was read, for each broker."""
    DEVICE_ONLINE = "0b3d2d6efdc2498dbdc5b0eb6f07b4be"
    """Readings come, for the first time or again."""
    DEVICE_STALE = "19df78441cfd4a8eb190a5f3ed4baae6"
    """The port is open, but nothing has come for longer than `stale_after`."""
    DEVICE_OFFLINE = "2abb03c85763460fb7c191d5003f1192"
    """The port cannot be opened, went away, or nobody answers."""
    PORT_REOPENED = "7596628156514f0c946e926fcb04bcab"
    """Nobody behind it is heard: it is closed and opened again."""
    POWER_CYCLED = "0d75459c38ab4f08bde3727b5c10744d"
    """That did not help: the power of its USB port is switched off and on, or cannot be."""
    BROKER_CONNECTED = "5097a52c9d1b4adc8f041b4a6e17ee94"
    """The broker takes messages, for the first time or again."""
    BROKER_LOST = "8de128ef02094cd78a3ecf9ad3765667"
    """The broker cannot be reached, or does not let us in; what it should get is kept."""
    BROKER_REFUSES = "0c0d83f46e88498c82ade3261a7e66af"
    """The broker is there, but refuses messages, or hangs up on one: they are set aside."""
    ALERT_FIRING = "e3711aaa655e42bbbe72e4597340f38a"
    """A rule's condition has held for long enough."""
    ALERT_RESOLVED = "7b6de79a1fa14b49b0fd8f11c6ad8c0b"
    """It is over."""
    JOURNAL_IN_TROUBLE = "6dc5263f2ae4488d88e7636e5ad62dc7"
    """The disk fails or is full: readings are held in memory only."""
    JOURNAL_WORKS_AGAIN = "be33fe266b2b41f698ec3c2de09af6a4"
    """Readings are written to the disk again."""
    READINGS_ARE_LOST = "a06e95561d32473a9549711c8485da6f"
    """From now on readings are lost, and why."""
    READINGS_WERE_LOST = "0813db901bf64bf8ad3c3bd7ec282d4a"
    """That is over: how many of which device; `…/gaps` has their numbers."""
    CONFIGURATION_APPLIED = "2153ababbf9c436e91dd07c3dc0b8e34"
    """A reload has changed what the new configuration changes."""
    CONFIGURATION_REFUSED = "37c287cbf4c94423b0a2e0908f6944ba"
    """A reload found a mistake: everything goes on as it was."""
    REQUEST_CARRIED_OUT = "7c52927d895a473e976d4165c974694b"
    """Somebody has asked for something that changes something, over MQTT or on this machine, and it is done."""
    REQUEST_REFUSED = "66e3b3ccfda14ac8870fa5f6f386d23e"
    """It is not done, or not all of it, or nobody knows."""
    GATEWAY_SICK = "a83cdb6d95df474b9f6e290b491f61ed"
    """A part does not get on: the watchdog is not fed any longer, and systemd will start the gateway again."""
    BUG = "86b31843d6704eb099497f72d5d21e52"
    """A mistake in the program, with its traceback: please report it."""


def about(
    message_id: MessageId | None = None,
    *,
    device: str = "",
    port: str = "",
    broker: str = "",
    rule: str = "",
    receiver: str = "",
    trace: str = "",
) -> dict[str, str]:
    """The `extra` of a line: `log.warning("…", …, extra=about(device=name))`.

    Names are those of the configuration; `broker` is "mqtt" for the one in [mqtt]. `trace`: lines to stand below it,
    such as a stack.
    """
    values = (message_id or "", device, port, broker, rule, receiver, trace)
    return {name: value for name, value in zip((*FIELDS, TRACE), values, strict=True) if value}


FIELDS = ("MESSAGE_ID", "DEVICE", "PORT", "BROKER", "RULE", "RECEIVER")
TRACE = "TRACE"
