"""An instrument that counts aloud on a pseudo-terminal, in a box: `python3 ticker.py LINK USER EVERY_S`.

A script of its own, for the box's Python alone. Like a serial line, it does not wait for who does not listen.
"""

import os
import shutil
import sys
import time
import tty
from contextlib import suppress
from itertools import count
from pathlib import Path

if __name__ == "__main__":
    link, user, every_s = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    os.set_blocking(ours, False)
    shutil.chown(os.ttyname(theirs), user)
    link.unlink(missing_ok=True)
    link.symlink_to(os.ttyname(theirs))
    for number in count(1):
        with suppress(BlockingIOError):
            os.write(ours, b'{"n":%d}\n' % number)
        time.sleep(every_s)
