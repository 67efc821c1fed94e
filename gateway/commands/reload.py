"""`sallyport reload`: the running gateway goes on with its configuration as it is written now."""

import sys

from gateway import intercom
from gateway.errors import ConfigError, Refused


def run(gateway: str | None) -> int:
    """`gateway`: its name, where several run.

    Raises: ConfigError, when the file cannot be used and everything stays as it was; Unreachable.
    """
    try:
        answer = intercom.ask("reload", gateway)
    except Refused as error:
        raise ConfigError(*str(error).split("\n")) from None
    for warning in answer["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    for line in answer["plan"]:
        print(line)
    return 0
