"""The mark of a place: pods with the network of their node share its name, and not their mark."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from proxy.process import place

POD = "36 35 254:1 /var/lib/kubelet/pods/{uid}/etc-hosts /etc/hosts rw,relatime - ext4 /dev/vda1 rw"
DOCKER = "36 35 254:1 /docker/containers/{id}/hostname /etc/hostname rw - ext4 /dev/vda1 rw"
HOSTS_OF_THE_NODE = "36 35 254:1 /etc/hosts /etc/hosts rw - ext4 /dev/vda1 rw"
ROOT = "35 1 254:1 / / rw - ext4 /dev/vda1 rw"
A, B = "0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f", "1a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"


def proc(folder: Path, *mounts: str, boot: str = "b1", namespace: int = 1) -> Path:
    """Return a folder like /proc, in which the inode of a namespace is that of a file."""
    folder.mkdir()
    (folder / "self/ns").mkdir(parents=True)
    (folder / "sys/kernel/random").mkdir(parents=True)
    (folder / "self/mountinfo").write_text("\n".join((ROOT, *mounts)) + "\n")
    (folder / "sys/kernel/random/boot_id").write_text(boot)
    for at in range(namespace):  # the last one made is the link
        kept = folder / f"namespace{at}"
        kept.touch()
    (folder / "self/ns/pid").symlink_to(kept)
    return folder


def test_pods_on_one_node_differ_and_a_container_that_begins_again_does_not(tmp_path: Path) -> None:
    first = proc(tmp_path / "1", POD.format(uid=A))
    again = proc(tmp_path / "2", POD.format(uid=A), boot="b2", namespace=2)
    other = proc(tmp_path / "3", POD.format(uid=B))
    assert place.mark(first) == place.mark(again) != place.mark(other)
    assert len(place.mark(first)) == 8


def test_containers_of_docker_with_the_network_of_the_machine_differ(tmp_path: Path) -> None:
    mounts = [DOCKER.format(id=one * 64) for one in "ab"]
    marks = {place.mark(proc(tmp_path / str(at), one)) for at, one in enumerate(mounts)}
    assert len(marks) == 2


@pytest.mark.parametrize("mounts", [(), (HOSTS_OF_THE_NODE,)])
def test_elsewhere_the_process_namespace_of_this_boot_is_the_place(
    tmp_path: Path, mounts: tuple[str, ...]
) -> None:
    one = proc(tmp_path / "1", *mounts)
    marks = [place.mark(one), place.mark(one)]
    (one / "sys/kernel/random/boot_id").write_text("b2")
    marks.append(place.mark(one))
    other = proc(tmp_path / "2", *mounts, namespace=2)
    marks.append(place.mark(other))
    assert marks[0] == marks[1]
    assert len(set(marks)) == 3


def test_where_nothing_is_known_no_other_process_has_the_mark(tmp_path: Path) -> None:
    assert place.mark(tmp_path) != place.mark(tmp_path)


def test_this_process_has_one_mark() -> None:
    assert place.mark() == place.mark()


def test_who_has_ended_is_known_in_the_same_namespace_alone(tmp_path: Path) -> None:
    child = subprocess.Popen(["/bin/true"])
    child.wait()
    here, pod = proc(tmp_path / "1"), proc(tmp_path / "2", POD.format(uid=A))
    assert place.ended(child.pid, here)
    assert not place.ended(child.pid, pod)
    assert not place.ended(child.pid, tmp_path / "nothing")
    for alive in (os.getpid(), 1, 0, -1):
        assert not place.ended(alive, here)
