"""Manifests in YAML: unchanged documents keep every byte, the others are written again."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import yaml

from .annotations import DISABLED, ENABLED, LABEL, STATUS, InjectorSettings
from .inject import inject, wanted
from .pod_reader import CannotInject, Json, mapping, text

_TEMPLATES: Final[dict[str, tuple[str, ...]]] = {
    "Pod": (),
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
_LIST: Final = "List"
_Path = tuple[str | int, ...]

Seal = Callable[[Json, str], Json]
"""Injects a pod that is in a namespace; an empty name where the manifest names none."""


def inject_manifest(document: Any, seal: Seal, *, every: bool, listed_as: str = "") -> Any:  # noqa: ANN401 - YAML may hold anything
    """Return the document with its pods injected; the same object where there is none to inject.

    Pods with the label are injected; with `every`, as in a labelled namespace, all that do not
    disable it. `listed_as` is the kind where the document has none, as in a typed list. Raises
    CannotInject, whose problems name the object.
    """
    if not isinstance(document, dict):
        return document
    kind = text(document, "kind") or listed_as
    items = document.get("items")
    if kind.endswith(_LIST) and isinstance(items, list):
        listed = kind.removesuffix(_LIST)
        sealed = [inject_manifest(one, seal, every=every, listed_as=listed) for one in items]
        same = all(new is old for new, old in zip(sealed, items, strict=True))
        return document if same else {**document, "items": sealed}
    path = _TEMPLATES.get(kind)
    try:
        _refuse_unknown(document, path, every=every)
        if path is None:
            return document
        namespace = text(mapping(document, "metadata"), "namespace")
        if path and not every:
            _refuse_misplaced_label(document, path)
        return _injected(document, path, lambda pod: _pod(pod, seal, namespace, every=every))
    except CannotInject as refusal:
        name = text(mapping(document, "metadata"), "name")
        raise CannotInject(*(f"{kind} {name}: {one}" for one in refusal.problems)) from None


def _refuse_unknown(document: Json, known: _Path | None, *, every: bool) -> None:
    """Refuse a pod template that is meant and is nowhere where this injects."""
    for path, template in _pod_templates(document, ()):
        labels = mapping(mapping(template, "metadata"), "labels")
        if path != known and labels.get(LABEL, ENABLED if every else DISABLED) != DISABLED:
            place = ".".join(map(str, path)) or "the object"
            raise CannotInject(f"{place} is a pod template that only the webhook can inject into")


def _pod_templates(node: Any, path: _Path) -> Iterator[tuple[_Path, Json]]:  # noqa: ANN401 - as above
    """Yield what looks like a pod, wherever it is, with its path."""
    if isinstance(node, dict):
        if isinstance(node.get("spec"), dict) and isinstance(node["spec"].get("containers"), list):
            yield path, node
        for key, value in node.items():
            yield from _pod_templates(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _pod_templates(value, (*path, index))


def _refuse_misplaced_label(document: Json, path: tuple[str, ...]) -> None:
    """Refuse a label that does not reach the pods: its author believes that they are injected."""
    pod = document
    for step in path:
        pod = mapping(pod, step)
    label = mapping(mapping(document, "metadata"), "labels").get(LABEL)
    if label == ENABLED and LABEL not in mapping(mapping(pod, "metadata"), "labels"):
        raise CannotInject(f"label {LABEL} belongs on the pod template, not on the object")


def _pod(pod: Json, seal: Seal, namespace: str, *, every: bool) -> Json:
    labels = mapping(mapping(pod, "metadata"), "labels")
    if not every and LABEL not in labels:
        return pod
    if not wanted(pod):
        return pod
    made = seal(_as_written(pod), namespace)
    if LABEL not in labels:
        # A webhook that sees the pod must come to the same decision.
        made["metadata"]["labels"] = {**labels, LABEL: ENABLED}
    return pod if made == pod else made


def _as_written(pod: Json) -> Json:
    """Return the pod without the status: its author may have changed which ports are sealed."""
    metadata = mapping(pod, "metadata")
    notes = {key: one for key, one in mapping(metadata, "annotations").items() if key != STATUS}
    return {**pod, "metadata": {**metadata, "annotations": notes}}


def _injected(document: Json, path: tuple[str, ...], seal: Callable[[Json], Json]) -> Json:
    holder = document
    for step in path:
        holder = mapping(holder, step)
    pod = seal(holder)
    if pod is holder:
        return document
    if not path:
        return pod
    made = deepcopy(document)
    parent = made
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = pod
    return made


_BORDER: Final = re.compile(r"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Manifests:
    """The text of all documents, and the number of those that were injected."""

    text: str
    sealed: int


def inject_text(text: str, settings: InjectorSettings, *, every: bool) -> Manifests:
    """Return the documents with their pods injected, in their order.

    A document without pods to inject stays byte for byte, comments included. An injected one is
    written again: its values stay, its comments and anchors do not. Raises CannotInject, with all
    problems, for invalid YAML and for pods that cannot be injected.
    """
    parts = []
    problems: list[str] = []
    sealed = 0

    def seal(pod: Json, namespace: str) -> Json:
        return inject(pod, settings, namespace)

    for part in _parts(text):
        try:
            document = _load(part)
            changed = inject_manifest(document, seal, every=every)
        except CannotInject as refusal:
            problems.extend(refusal.problems)
            continue
        if changed is document:
            parts.append(part)
            continue
        sealed += 1
        begin = "---\n" if _BORDER.match(part) else ""
        parts.append(begin + _dump(changed))
    if problems:
        raise CannotInject(*problems)
    return Manifests("".join(parts), sealed)


def documents(text: str) -> list[Any]:
    """Return the documents of a stream, the empty ones left out; raise CannotInject for no YAML."""
    loaded = (_load(part) for part in _parts(text))
    return [one for one in loaded if one is not None]


def _parts(text: str) -> Iterator[str]:
    """Yield the documents of a stream, each from its `---`; joined, they are the stream."""
    starts = [match.start() for match in _BORDER.finditer(text)]
    if not starts or text[: starts[0]]:
        starts.insert(0, 0)
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        yield text[start:end]


class _Loader(yaml.SafeLoader):
    """Reads YAML as Kubernetes does: dates and `1:30` are strings, repeated keys are refused.

    Booleans are those of YAML 1.1 (`yes`, `on`, `y`), as there.
    """

    bool_values: ClassVar = {**yaml.SafeLoader.bool_values, "y": True, "n": False}


_NUMBER: Final = "tag:yaml.org,2002:float"
_OWN_TAGS: Final = {_NUMBER, "tag:yaml.org,2002:int", "tag:yaml.org,2002:timestamp"}
_Loader.yaml_implicit_resolvers = {
    first: [one for one in resolvers if one[0] not in _OWN_TAGS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_NUMBER, re.compile("[-+.0-9]"), list("-+.0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"[yYnN]\Z"), list("yYnN"))

_INTEGER: Final = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_OCTAL: Final = re.compile(r"\A([-+]?)0(?=[0-7])")


def _number(loader: _Loader, node: yaml.ScalarNode) -> int | float | str:
    """Return the number that Go's reader takes a plain scalar for, or the text."""
    written = str(loader.construct_scalar(node))
    plain = written.replace("_", "")
    if _INTEGER.fullmatch(plain):
        whole = int(_OCTAL.sub(r"\g<1>0o", plain), 0)
        if -(2**63) <= whole < 2**64:
            return whole
    if _FLOAT.fullmatch(plain) and math.isfinite(number := float(plain)):
        # As JSON, which has one kind of number.
        return int(number) if abs(number) < 2**53 and number.is_integer() else number
    return written


def _unique(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[object] = set()
    for key, _ in node.value:
        name = key.value if isinstance(key, yaml.ScalarNode) else None
        if name in seen and key.tag != "tag:yaml.org,2002:merge":
            raise CannotInject(f"line {key.start_mark.line + 1}: {name} is repeated")
        seen.add(name)
    loader.flatten_mapping(node)
    found = loader.construct_mapping(node, deep=True)
    return {_key(key): value for key, value in found.items()}


def _key(key: object) -> str:
    """Return a key as Kubernetes converts it to JSON."""
    if isinstance(key, bool):
        return "true" if key else "false"
    return str(key)


_Loader.add_constructor(_NUMBER, _number)
_Loader.add_constructor("tag:yaml.org,2002:map", _unique)


class _Dumper(yaml.SafeDumper):
    """Writes multi-line strings as block scalars, and repeats aliased nodes."""

    def ignore_aliases(self, data: object) -> bool:
        return True


_AMBIGUOUS: Final = re.compile(r"[yYnN]|[-+.0-9].*")
"""Texts that some reader takes for a boolean or a number where they are not quoted."""

_OTHER_BREAKS: Final = re.compile("[\x85\u2028\u2029]")
"""What ends a line in YAML 1.1 and not in 1.2: only double quotes write it as an escape."""


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "'" if _AMBIGUOUS.fullmatch(text) else None
    if _OTHER_BREAKS.search(text):
        style = '"'
    elif "\n" in text:
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _load(part: str) -> Any:  # noqa: ANN401 - YAML may hold anything
    try:
        return yaml.load(part, _Loader)  # noqa: S506, TID251 - derived from SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise CannotInject(
            f"line {line} of a document is not valid YAML: {error.problem}; correct it there"
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise CannotInject("a document is not valid YAML") from None


def _dump(document: object) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=2**20)
