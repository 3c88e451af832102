"""The operator's policy: what pods may do although it weakens their protection.

A *violation* is something in a pod that weakens its protection. The pod is denied, unless the
violation has a permission and the operator gives that to the namespace of the pod.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

from .pod_reader import CannotInject, Json, mapping, objects, text

PERMISSIONS: Final = (
    "audit",
    "capabilities",
    "config",
    "disabled",
    "host",
    "host-path",
    "keys",
    "names",
    "port-env",
    "ports",
    "privileged",
    "redirect",
    "volume-driver",
)
"""What operators can allow: see docs/how-to/kubernetes.md."""

_HOST_PATH: Final = "host-path"
_FOLDER: Final = re.compile(r"(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)+")

_OF_THE_RELEASE: Final = frozenset(
    {"audit", "config", "disabled", "keys", "port-env", "ports", "redirect"}
)
"""What the policies of the API server must know too: the chart alone gives it."""

ANY_NAMESPACE: Final = "*"


def is_permission(word: str) -> bool:
    """Return whether a word is a permission; `host-path:/FOLDER` is that for one folder."""
    kind, colon, folder = word.partition(":")
    bounded = kind == _HOST_PATH and _FOLDER.fullmatch(folder) is not None
    return kind in PERMISSIONS and (not colon or bounded)


_DATA_FOLDERS: Final = tuple(
    PurePosixPath(one)
    for one in ("/consul", "/etc/istio", "/run", "/tmp", "/var")  # noqa: S108 - in containers of others
)
"""Where proxies of meshes get their data. An image has no programs there, so a mount hides none."""

_HOOKS: Final = frozenset({"pilot-agent", "/usr/lib/linkerd/linkerd-await"})
"""Programs of meshes' images that their own injectors write into hooks."""

_LOADING: Final = re.compile(r"LD_.*|PATH")
"""Variables by which other programs and libraries run than those of the image."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What operators allow: pairs of a namespace, or `*`, and a permission; and images they trust.

    A trusted image is written `IMAGE`, or `IMAGE COMMAND` where the pod replaces the command of the
    image. Without tag and digest, it stands for all of its repository.
    """

    allowed: frozenset[tuple[str, str]] = frozenset()
    images: frozenset[str] = frozenset()

    def permits(self, namespace: str, permission: str, folder: str = "") -> bool:
        """Return whether pods of a namespace have a permission, for a folder of a node if given."""
        given = {one for place, one in self.allowed if place in {namespace, ANY_NAMESPACE}}
        if permission in given:
            return True
        path = PurePosixPath(folder)
        folders = [one.partition(":")[2] for one in given if one.startswith(f"{permission}:")]
        return ".." not in path.parts and any(map(path.is_relative_to, folders))

    def trusts(self, container: Json) -> bool:
        """Return whether the operator trusts what a container runs; its name proves nothing."""
        return self.names(container) and not altered(container)

    def names(self, container: Json) -> bool:
        """Return whether image and command are in the operator's list."""
        image, command = text(container, "image"), container.get("command")
        words = [str(one) for one in command] if isinstance(command, list) else []
        names = {image, _repository(image)} - {""}
        return not self.images.isdisjoint({" ".join([one, *words]) for one in names})


def altered(container: Json) -> str:
    """Return what lets a container run other programs than those of its image, else nothing."""
    return next(_alterations(container), "")


def _alterations(container: Json) -> Iterator[str]:
    for one in objects(container, "volumeMounts"):
        path = PurePosixPath(text(one, "mountPath"))
        if ".." in path.parts or not any(map(path.is_relative_to, _DATA_FOLDERS)):
            yield f"its mount at {path} could hide programs of the image"
    for one in objects(container, "env"):
        if _LOADING.fullmatch(text(one, "name")):
            yield f"its variable {one['name']} could load other programs"
    if objects(container, "envFrom"):
        yield "its variables (envFrom) are not in the pod"
    for kind in ("postStart", "preStop"):
        command = mapping(mapping(mapping(container, "lifecycle"), kind), "exec").get("command")
        if command and not (isinstance(command, list) and command[0] in _HOOKS):
            yield f"its {kind} hook runs another program"
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        if mapping(container, kind).get("exec"):
            yield f"its {kind} runs another program"


def _repository(image: str) -> str:
    """Return an image without its digest and tag; a colon before the last slash is of a port."""
    whole = image.partition("@")[0]
    folder, slash, name = whole.rpartition("/")
    return f"{folder}{slash}{name.partition(':')[0]}"


def with_exceptions(policy: Policy, folder: Path) -> tuple[Policy, tuple[str, ...]]:
    """Return the policy with what the files of a folder allow, and the namespaces with a mistake.

    Each file is named like a namespace, and lists permissions, as a mounted ConfigMap does. What is
    no permission that can be given here allows nothing. A folder that is not there allows nothing.
    """
    allowed, mistaken = set(policy.allowed), []
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    for file in files:
        if file.name.startswith(".") or not file.is_file():
            continue
        words = set(re.split(r"[\s,]+", file.read_text(encoding="utf-8", errors="replace"))) - {""}
        known = {one for one in words if is_permission(one)} - _OF_THE_RELEASE
        allowed |= {(file.name, one) for one in known}
        if words - known:
            mistaken.append(file.name)
    return replace(policy, allowed=frozenset(allowed)), tuple(mistaken)


@dataclass(frozen=True, slots=True)
class Violation:
    """One sentence about a pod, and the permission that admits it; empty: there is none.

    `folder` is that of the node for which it is needed, if it is for one.
    """

    sentence: str
    permission: str = ""
    folder: str = ""


def require_permitted(
    violations: Iterable[Violation], policy: Policy, namespace: str
) -> tuple[str, ...]:
    """Return the permissions that are used, sorted.

    Raises CannotInject with all violations that the policy does not permit in `namespace`.
    """
    found = tuple(dict.fromkeys(violations))
    left = [one for one in found if not policy.permits(namespace, one.permission, one.folder)]
    if left:
        raise CannotInject(*map(_denial, left))
    return tuple(sorted({one.permission for one in found}))


def _denial(violation: Violation) -> str:
    if not violation.permission:
        return violation.sentence
    return f"{violation.sentence} (only with the operator's permission `{violation.permission}`)"
