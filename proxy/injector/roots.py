"""What the roots of the keyring need in a pod: it is given to the sidecar alone.

Which key opens the keyring is told by the configuration alone. Here is only by what it is reached.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from .permissions import Violation
from .pod_reader import CannotInject, Json, claims, mapping, objects, text
from .policy import TOKEN_SECONDS

KINDS: Final = (
    "file",
    "passphrase",
    "vault",
    "aws-kms",
    "gcp-kms",
    "azure-kv",
    "pkcs11",
    "shares",
)
"""Those of the configuration; a test holds them together."""

LOGIN_VOLUME: Final = "sealyard-login"
MODULE_VOLUME: Final = "sealyard-module"
UNLOCK_VOLUME: Final = "sealyard-unlock"
ROOT_VOLUMES: Final = frozenset({LOGIN_VOLUME, MODULE_VOLUME, UNLOCK_VOLUME})

LOGIN_FOLDER: Final = "/var/run/secrets/sealyard"
"""Its file `token` is that of the pod's service account."""

UNLOCK_FOLDER: Final = "/run/sealyard"
"""Where the socket for shares is; nothing else in the container can be written."""

_OPENED_BY_A_SECRET: Final = frozenset({"file", "passphrase"})
"""Roots that are there with the keyring; all others can be away, or come late."""

_WITH_A_SECRET: Final = _OPENED_BY_A_SECRET | {"pkcs11"}
"""Roots with a secret in a file: a PIN, for a token."""

_CLAIM: Final = "PersistentVolumeClaim"
_HOST_PATH: Final = "HostPath"
_MODULE: Final = re.compile(rf"(?:{_CLAIM}|{_HOST_PATH})/[A-Za-z0-9][A-Za-z0-9._/-]*")
_FOLDER: Final = re.compile(r"(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)+")
_AUDIENCE: Final = re.compile(r"[!-~]*")
_OWN_FOLDERS: Final = (
    "/etc/sealyard/",
    "/opt/sealyard/",
    "/run/",
    "/usr/",
    "/var/log/sealyard/",
    "/var/run/",
)
_MODE: Final = 0o440


class _Identity(NamedTuple):
    """What a cloud's webhook gives to containers of a pod: variables, and where tokens are."""

    variables: frozenset[str]
    folders: frozenset[str]


IDENTITIES: Final[Mapping[str, _Identity]] = {
    # IRSA: https://github.com/aws/amazon-eks-pod-identity-webhook, and EKS Pod Identity.
    "aws-kms": _Identity(
        frozenset(
            {
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                "AWS_DEFAULT_REGION",
                "AWS_REGION",
                "AWS_ROLE_ARN",
                "AWS_STS_REGIONAL_ENDPOINTS",
                "AWS_WEB_IDENTITY_TOKEN_FILE",
            }
        ),
        frozenset(
            {
                "/var/run/secrets/eks.amazonaws.com/serviceaccount",
                "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount",
            }
        ),
    ),
    # https://azure.github.io/azure-workload-identity/docs/installation/mutating-admission-webhook.html
    "azure-kv": _Identity(
        frozenset(
            {
                "AZURE_AUTHORITY_HOST",
                "AZURE_CLIENT_ID",
                "AZURE_FEDERATED_TOKEN_FILE",
                "AZURE_TENANT_ID",
            }
        ),
        frozenset({"/var/run/secrets/azure/tokens"}),
    ),
}
"""By the kind of the root; the policies of the API server know the variables too."""


@dataclass(frozen=True, slots=True)
class RootNeeds:
    """The kinds of the roots, and what the operator gives for them.

    `audience` is that of a token of the pod's service account; empty: none. `module` is the volume
    with a PKCS#11 module, KIND/NAME, mounted at `module_path`; empty: it is in the image.
    """

    kinds: tuple[str, ...] = ("file",)
    audience: str = ""
    module: str = ""
    module_path: str = "/opt/pkcs11"

    @property
    def wait(self) -> bool:
        """Whether a sidecar may have to wait for its root, for longer than a start takes."""
        return not _OPENED_BY_A_SECRET.issuperset(self.kinds)


def require_usable(needs: RootNeeds, *, in_config_map: bool) -> None:
    """Raise CannotInject with all that is wrong; the options of the commands are named.

    `in_config_map` is whether the keyring is in a ConfigMap, which keeps no secret.
    """
    problems = []
    if not _AUDIENCE.fullmatch(needs.audience):
        problems.append("option --root-audience: must be printable ASCII without spaces")
    if needs.module and not _MODULE.fullmatch(needs.module):
        problems.append(
            "option --root-module: must be PersistentVolumeClaim/NAME or HostPath/FOLDER"
        )
    if needs.module and "pkcs11" not in needs.kinds:
        problems.append("option --root-module: only a root `pkcs11` has a module")
    place = f"{needs.module_path}/"
    taken = any(place.startswith(one) or one.startswith(place) for one in _OWN_FOLDERS)
    if taken or not _FOLDER.fullmatch(needs.module_path):
        problems.append("option --root-module-path: must be a folder that nothing else has")
    secret = sorted(_WITH_A_SECRET & set(needs.kinds))
    if in_config_map and secret:
        problems.append(
            f"option --keys-secret: a ConfigMap keeps no secret, and a root `{secret[0]}` has one"
        )
    if problems:
        raise CannotInject(*problems)


def volumes(needs: RootNeeds) -> list[Json]:
    """Return the volumes that only the sidecar mounts."""
    found: list[Json] = []
    if needs.audience:
        login = {
            "audience": needs.audience,
            "expirationSeconds": TOKEN_SECONDS,
            "path": "token",
        }
        projected = {"defaultMode": _MODE, "sources": [{"serviceAccountToken": login}]}
        found.append({"name": LOGIN_VOLUME, "projected": projected})
    if needs.module:
        kind, _, name = needs.module.partition("/")
        source: Json = {"persistentVolumeClaim": {"claimName": name, "readOnly": True}}
        if kind == _HOST_PATH:
            source = {"hostPath": {"path": f"/{name}", "type": "Directory"}}
        found.append({"name": MODULE_VOLUME, **source})
    if "shares" in needs.kinds:
        found.append({"name": UNLOCK_VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}})
    return found


def mounts(needs: RootNeeds) -> list[Json]:
    """Return where the sidecar has the volumes."""
    places: dict[str, Json] = {
        LOGIN_VOLUME: {"mountPath": LOGIN_FOLDER, "readOnly": True},
        MODULE_VOLUME: {"mountPath": needs.module_path, "readOnly": True},
        UNLOCK_VOLUME: {"mountPath": UNLOCK_FOLDER},
    }
    return [{"name": one["name"], **places[one["name"]]} for one in volumes(needs)]


def with_identity(own: Json, given: Json, pod_volumes: Sequence[Json], needs: RootNeeds) -> Json:
    """Return the sidecar with the identity that the cloud's webhook gave to the incoming one.

    Such a webhook is called again after this one, and this one after it. What it gives is known by
    name, but the pod's author can write those names too. The sidecar sends the file to an address
    that another variable names: so it is a token of the service account, which the author has
    anyway, and never a file of the sidecar's own, by no path and no link. `pod_volumes` are those
    of the pod without the sidecar's.
    """
    known = [IDENTITIES[kind] for kind in needs.kinds if kind in IDENTITIES]
    tokens = {one["name"] for one in pod_volumes if _has_tokens_alone(one)}
    mounts = [
        {"name": one["name"], "mountPath": one["mountPath"], "readOnly": True}
        for one in objects(given, "volumeMounts")
        if any(one.get("mountPath") in each.folders for each in known) and one.get("name") in tokens
    ]
    folders = {one["mountPath"] for one in mounts}
    variables = [
        {"name": one["name"], "value": one["value"]}
        for one in objects(given, "env")
        if any(one.get("name") in each.variables for each in known)
        and isinstance(one.get("value"), str)
        and (not one["name"].endswith("_FILE") or one["value"].rpartition("/")[0] in folders)
    ]
    return {
        **own,
        "env": [*own["env"], *variables],
        "volumeMounts": [*own["volumeMounts"], *mounts],
    }


def _has_tokens_alone(volume: Json) -> bool:
    sources = objects(mapping(volume, "projected"), "sources")
    return bool(sources) and all(set(one) == {"serviceAccountToken"} for one in sources)


def exposures(pod_volumes: Sequence[Json], needs: RootNeeds) -> Iterator[Violation]:
    """Yield the pod's own volumes with what is the sidecar's alone.

    Whoever has a token like its own opens the keyring, and so does whoever writes to its module.
    """
    kind, _, module = needs.module.partition("/")
    for one in pod_volumes:
        if one["name"] in ROOT_VOLUMES:
            continue
        sources = objects(mapping(one, "projected"), "sources")
        tokens = (mapping(each, "serviceAccountToken") for each in sources)
        if needs.audience and any(text(each, "audience") == needs.audience for each in tokens):
            yield Violation(
                f"volume {one['name']}: a token for `{needs.audience}` opens the keyring", "keys"
            )
        if kind == _CLAIM and module in claims(one):
            yield Violation(f"volume {one['name']} holds the module of the HSM ({_CLAIM} {module})")
