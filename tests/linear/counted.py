"""What runs under callgrind: each work at each size, with a mark before and behind it.

`python -m tests.linear.counted SIZES NAMES`: sizes with commas between them, and names of growths
or seeds of drawn ones, one an argument.
"""

from __future__ import annotations

import gc
import os
import sys

from tests.linear.drawn import drawn
from tests.linear.works import GROWTHS, Growth


def growth(name: str) -> Growth:
    """Return the growth of that name, or the drawn one of that seed."""
    if name.isdecimal():
        return drawn(int(name))
    return next(one for one in GROWTHS if one.name == name)


def main(sizes: str, *names: str) -> None:
    """Do all works; `os.getloadavg` is the mark, since nothing else here calls it."""
    # Collections come when they come, and look at all that lives: they would blur the count.
    gc.disable()
    gc.freeze()  # what the imports made is not looked at before each work
    for name in names:
        one = growth(name)
        one.work(min(map(int, sizes.split(","))))()  # what is made once is made here
        for size in map(int, sizes.split(",")):
            work = one.work(size)
            gc.collect()
            os.getloadavg()
            work()
            os.getloadavg()


if __name__ == "__main__":
    main(*sys.argv[1:])
