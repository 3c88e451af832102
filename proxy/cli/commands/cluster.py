"""`sealyard cluster`: what of a cluster needs an operator, and what still has the label."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Final
from urllib.parse import quote

import click

from ... import __version__
from ...injector.annotations import DISABLED, LABEL
from ...process.kubernetes_api import CallFailed, in_cluster
from ..policy import LABELLED_SHOWN, ExitCode
from ..support import console
from ..support.service_account import account_option
from .inject import read_manifest

_PLACES: Final = ("namespaces", "pods")


@click.group()
def cluster() -> None:
    """Show which pods of a cluster need an operator, and what still has the label.

    \b
    kubectl get ns,pods,deploy,sts,ds,cj -A -o json | sealyard cluster status -
    sealyard cluster labels
    """  # noqa: D301 - click's own mark for lines that must not be wrapped


@cluster.command()
@click.argument(
    "files",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE...",
)
@console.as_json
def status(files: tuple[Path, ...], *, as_json: bool) -> None:
    """List older sidecars and keyrings, permissions in use, idle labels, pods without a sidecar.

    \b
    kubectl get ns,pods,deploy,sts,ds,cj -A -o json | sealyard cluster status -
    kubectl -n shop get pods -o json | sealyard cluster status --json -

    FILE is what kubectl prints, - for stdin: so it sees what its caller may see. Only a pod knows
    its keyring's generation: a second FILE may be what Prometheus answers at
    /api/v1/query?query=sealyard_keyring_generation. Exits with 3 if a pod that is to be sealed has
    no sidecar, or a label reaches no pod.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    from ...injector.cluster_view import examine  # noqa: PLC0415 - only where it is used
    from ...injector.manifests import documents  # noqa: PLC0415 - PyYAML, as above
    from ...injector.pod_reader import CannotInject  # noqa: PLC0415 - as above

    try:
        read = [one for file in files for one in documents(read_manifest(file))]
        findings = list(examine([one for one in read if isinstance(one, dict)], __version__))
    except CannotInject as refusal:
        raise console.Failure(refusal.detail) from None
    lines = (f"{one.verdict:<8} {one.check:<11} {one.text}" for one in findings)
    console.answer([asdict(one) for one in findings], lines, as_json=as_json)
    failed = any(one.verdict == "failed" for one in findings)
    sys.exit(ExitCode.ENVIRONMENT if failed else ExitCode.OK)


@cluster.command()
@account_option
def labels(account: Path) -> None:
    """Exit with 1 while a namespace or a pod of this cluster has the label, and name some.

    \b
    sealyard cluster labels
    sealyard cluster labels --service-account /var/run/secrets/kubernetes.io/serviceaccount

    The chart runs it before `helm uninstall`: what is labelled could start without a sidecar.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    try:
        left = asyncio.run(_left(account))
    except CallFailed as failed:
        raise console.Failure(f"the API server: {failed.reason}", ExitCode.ENVIRONMENT) from None
    for one in left:
        click.echo(console.printable(one))
    if left:
        told = f"the label {LABEL} is still there: take it off and restart the pods first"
        raise console.Failure(told)


async def _left(account: Path) -> list[str]:
    api = in_cluster(os.environ, account)
    chosen = quote(f"{LABEL},{LABEL}!={DISABLED}")
    found = []
    for place in _PLACES:
        path = f"/api/v1/{place}?labelSelector={chosen}&limit={LABELLED_SHOWN}"
        for one in (await api.call("GET", path)).get("items") or ():
            metadata = one["metadata"]
            parts = (metadata.get("namespace"), metadata["name"])
            found.append(f"{place.removesuffix('s')} {'/'.join(filter(None, parts))}")
    return found
