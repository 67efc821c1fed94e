"""What becomes of an error that ends a command: what is said of it, and the exit status."""

import os
import sys
from collections.abc import Iterable

from gateway.errors import ConfigError, GatewayError, UsageError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_CONFIG = 78  # sysexits.h's EX_CONFIG: the service manager does not try again


def ended(error: BaseException, command: str) -> int:
    """The exit status, when it has been said."""
    match error:
        case UsageError():
            complaints, status = [f"sallyport {command}: {error}"], EXIT_USAGE
        case ConfigError():
            complaints, status = [*error.problems], EXIT_CONFIG
        case GatewayError():
            complaints, status = [f"sallyport: {error}"], EXIT_FAILED
        case KeyboardInterrupt():
            return EXIT_INTERRUPTED
        case BrokenPipeError():
            # `sallyport tail | head`: the reader has had enough. Python would complain at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        case OSError():
            complaints, status = [f"sallyport {command}: {error.strerror or error}"], EXIT_FAILED
        case _:
            sys.excepthook(type(error), error, error.__traceback__)
            return EXIT_FAILED
    _complain(complaints)
    return status


def _complain(complaints: Iterable[str]) -> None:
    from gateway.logs import complaint  # noqa: PLC0415 - most commands end well

    print(*map(complaint, complaints), sep="\n", file=sys.stderr)
