"""The log: one line for each event, on a terminal, in a pipe or with its fields in systemd's journal.

What comes from instruments, brokers and files stands in our lines: it can neither break one nor colour it. journald's
native protocol is a datagram of lines, documented and stable; so systemd-python, which needs a compiler and
libsystemd's headers, is not wanted.
"""

from gateway.logs.fields import MessageId, about
from gateway.logs.start import LogFormat, complaint, set_level, start_logging
from gateway.logs.tail import Tail

__all__ = ["LogFormat", "MessageId", "Tail", "about", "complaint", "set_level", "start_logging"]
