"""The log: one line per event on standard error, as journald and a terminal want it."""

import logging
import os
import sys

_SYSLOG = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class _ForJournald(logging.Formatter):
    """`<4>message`: journald takes the priority from the prefix and adds the time itself (sd-daemon(3))."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{_SYSLOG.get(record.levelno, 6)}>"
        return "\n".join(prefix + line for line in super().format(record).splitlines())


def start_logging(level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    if "JOURNAL_STREAM" in os.environ:
        handler.setFormatter(_ForJournald("%(message)s"))
    else:
        handler.setFormatter(
            logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%d %H:%M:%S")
        )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Libraries speak through our own lines; at their own info level they would report each packet.
    for library in ("asyncio", "mqtt"):
        logging.getLogger(library).setLevel(logging.WARNING)
    # At debug level serialx shows the raw bytes, which is what one looks for then.
    logging.getLogger("serialx").setLevel(logging.DEBUG if level == "debug" else logging.WARNING)
