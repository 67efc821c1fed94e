"""One process for each journal."""

import fcntl
import os
from pathlib import Path

from gateway.errors import JournalError

# Neither through a link, nor waiting for who may be at the other end of a pipe: doctor looks at it as root.
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Lock:
    """Held until it is closed, or until the process ends in whatever way."""

    def __init__(self, journal: Path) -> None:
        """Raises: JournalError, when another process has it; OSError."""
        self._file = os.open(beside(journal), os.O_RDWR | os.O_CREAT | _FLAGS, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.pwrite(self._file, f"{os.getpid()}\n".encode().ljust(32), 0)
        except BlockingIOError:
            holder = _written(self._file)
            os.close(self._file)
            raise JournalError(f"{journal}: in use by {holder}") from None
        except OSError:
            os.close(self._file)
            raise

    def holds(self, journal: Path) -> bool:
        """Whether the file that is locked still stands there."""
        try:
            return os.path.samestat(os.fstat(self._file), beside(journal).stat())
        except OSError:
            return False

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def holder(journal: Path) -> str | None:
    """The program that has this journal open, and its pid; None if nobody has. Raises: OSError."""
    try:
        file = os.open(beside(journal), os.O_RDONLY | _FLAGS)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _written(file)
    finally:
        os.close(file)
    return None


def beside(journal: Path) -> Path:
    return journal.with_name(f"{journal.name}.lock")


def _written(file: int) -> str:
    pid = os.pread(file, 32, 0).decode(errors="replace").strip()
    try:
        program = Path(f"/proc/{int(pid)}/comm").read_text().strip()
    except (ValueError, OSError):
        return "another process"
    return f"{program} (pid {pid})"
