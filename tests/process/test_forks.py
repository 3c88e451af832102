from __future__ import annotations

import os

from proxy.process import forks


def test_a_child_has_another_generation_and_its_parent_keeps_its_own() -> None:
    own = forks.generation()
    child = os.fork()
    if child == 0:
        grandchild = os.fork()
        if grandchild == 0:
            os._exit(forks.generation() - own)
        _, status = os.waitpid(grandchild, 0)
        ours = forks.generation() - own
        os._exit(10 * ours + os.waitstatus_to_exitcode(status))
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 12
    assert forks.generation() == own
