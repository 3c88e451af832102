"""The real Dockerfile, built; and a patched pod, run of that image by podman.

It builds on a stand-in for the base image (Debian's own Python), so that no registry is needed, and
takes minutes: `REQUIRE_RUNTIME=1 ./dev test tests/chart/test_image.py -m slow`.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from proxy.injector.annotations import InjectorSettings
from proxy.injector.inject import inject
from tests.chart.conftest import ROOT
from tests.injector.pods import a_container, a_pod, container
from tests.injector.running_pod import CANARY, CONFIGURATION

IMAGE = "localhost/sealyard:test"
BASE = "docker.io/library/python:3.13-slim-trixie"
BUILD = ("buildah", "bud", "--isolation", "chroot", "--network", "host", "--pull=never", "--layers")
ENGINE = """\
[containers]
default_ulimits=["nofile=4096:4096","nproc=8192:8192"]
[engine]
runtime="runc"
"""

TOOLS = ("podman", "buildah", "runc", "mmdebstrap", "catatonit")
MISSING = [one for one in TOOLS if shutil.which(one) is None]
if os.geteuid() != 0:
    MISSING.append("root")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(MISSING) and not os.environ.get("REQUIRE_RUNTIME"),
        reason=f"no image can be built here: {', '.join(MISSING)} missing",
    ),
]

Engine = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Run podman or buildah, with settings that also suit a machine inside of another."""
    settings = tmp_path_factory.mktemp("engine") / "containers.conf"
    settings.write_text(ENGINE)
    environ = {
        **os.environ,
        "CONTAINERS_CONF": str(settings),
        "PODMAN_IGNORE_CGROUPSV1_WARNING": "1",
    }

    def run(*command: str, good: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=1800, check=False, env=environ
        )
        assert not good or done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def image(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Build the image, on a base that is made once."""
    if engine("podman", "image", "exists", BASE, good=False).returncode:
        archive = tmp_path_factory.mktemp("base") / "base.tar"
        packages = "--include=python3,python3-venv,python3-pip,ca-certificates"
        engine("mmdebstrap", "--variant=apt", packages, "trixie", str(archive))
        engine("podman", "import", "-q", "-c", 'CMD ["python3"]', str(archive), BASE)
    engine(*BUILD, *mounts(), "--build-arg", "VERSION=9.9.9", "-t", IMAGE, str(ROOT))
    return IMAGE


def mounts() -> list[str]:
    """Return the options by which the builder reaches the package index as this machine does."""
    files = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pip.conf")
    return [f"--volume={one}:{one}:ro" for one in files if Path(one).exists()]


def hardened(*, capability: str = "") -> list[str]:
    """Return how Kubernetes would start a container of ours."""
    added = [f"--cap-add={capability}"] if capability else []
    return [
        *("podman", "run", "--rm", "--network=none", "--read-only", "--cap-drop=ALL", *added),
        *("--user=65532:0", "--security-opt=no-new-privileges"),
    ]


def test_the_command_runs_with_nothing_but_its_own_files(engine: Engine, image: str) -> None:
    assert "sealyard" in engine(*hardened(), image, "show", "version").stdout


def test_the_layers_above_the_base_are_small(engine: Engine, image: str) -> None:
    sizes = [
        int(engine("podman", "image", "inspect", "-f", "{{.Size}}", one).stdout)
        for one in (image, BASE)
    ]
    assert sizes[0] - sizes[1] <= 90_000_000


def test_only_the_image_for_debugging_has_tools(engine: Engine, image: str) -> None:
    engine(*BUILD, *mounts(), "--target", "debug", "-t", f"{IMAGE}-debug", str(ROOT))
    script = "for one in curl tcpdump strace; do command -v $one; done"
    shell = [*hardened(), "--entrypoint=/bin/sh"]
    tried = [engine(*shell, one, "-c", script, good=False) for one in (image, f"{IMAGE}-debug")]
    assert [len(one.stdout.split()) for one in tried] == [0, 3]


def test_the_native_leaves_are_in_use(engine: Engine, image: str) -> None:
    python = "--entrypoint=/opt/sealyard/bin/python"
    script = "from sealyard.core import leaves; print(leaves.FORM)"
    without = ("--env=SEALYARD_NATIVE=0", python, image, "-c", script)

    assert engine(*hardened(), python, image, "-c", script).stdout == "native\n"
    assert engine(*hardened(), *without).stdout == "python\n"


def test_nft_works_for_who_is_not_root_by_its_one_capability(engine: Engine, image: str) -> None:
    ruleset = "table inet sealyard; list ruleset"
    with_it = engine(
        *hardened(capability="NET_ADMIN"), "--entrypoint=/usr/sbin/nft", image, ruleset
    )
    without = engine(*hardened(), "--entrypoint=/usr/sbin/nft", image, ruleset, good=False)

    assert "table inet sealyard" in with_it.stdout
    assert without.returncode != 0


def test_the_image_tells_what_is_in_it(engine: Engine, image: str) -> None:
    script = "print(open('/opt/sealyard/sbom.cdx.json').read())"
    python = "--entrypoint=/opt/sealyard/bin/python"
    document = json.loads(engine(*hardened(), python, image, "-c", script).stdout)
    found = {one["purl"].partition("@")[0] for one in document["components"]}

    assert {"pkg:pypi/cryptography", "pkg:pypi/aiohttp", "pkg:deb/debian/nftables"} <= found
    assert {"pkg:pypi/sealyard-native", "pkg:cargo/pyo3", "pkg:cargo/memchr"} <= found
    assert "pkg:pypi/pip" not in found
    assert document["metadata"]["component"]["version"] == "9.9.9"


@pytest.fixture
def address(engine: Engine, image: str, tmp_path: Path) -> Iterator[str]:
    """Run an injected pod of that image; yield the pod's address."""
    subprocess.run(
        [sys.executable, "-P", "-m", "proxy", "init", str(tmp_path / "keys")],
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    manifest = tmp_path / "pod.yaml"
    manifest.write_text(yaml.safe_dump_all(manifests(tmp_path / "keys", image)))
    try:
        engine("podman", "kube", "play", str(manifest))
        infra = engine("podman", "pod", "inspect", "web", "--format", "{{.InfraContainerID}}")
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        yield engine("podman", "inspect", infra.stdout.strip(), "--format", form).stdout.strip()
    finally:
        engine("podman", "kube", "down", "--force", str(manifest), good=False)


def manifests(keys: Path, image: str) -> list[object]:
    """Return the pod as the injector makes it, and what it mounts."""
    backend = (Path(__file__).parent.parent / "injector" / "backend.py").read_text()
    configuration = CONFIGURATION.replace("file: keys/", "file: /etc/sealyard/keys/")
    app = a_container(
        image=image,
        imagePullPolicy="Never",
        command=["/opt/sealyard/bin/python", "/app/backend.py", "8080", "/dev/shm/data"],  # noqa: S108 - in the container
        volumeMounts=[{"name": "app", "mountPath": "/app"}],
    )
    pod = a_pod(containers=[app], volumes=[{"name": "app", "configMap": {"name": "app"}}])
    pod["metadata"]["name"] = "web"
    pod = inject(pod, InjectorSettings(image=image, pull_policy="Never"))
    # podman knows no native sidecars: it would wait for the end of one. What tests the redirect
    # behind it is run by the test.
    redirect, sidecar, _ = pod["spec"]["initContainers"]
    for key in ("restartPolicy", "startupProbe", "readinessProbe", "livenessProbe"):
        del sidecar[key]
    pod["spec"]["initContainers"] = [redirect]
    pod["spec"]["containers"].insert(0, sidecar)
    secrets = {
        name: base64.b64encode((keys / name).read_bytes()).decode()
        for name in ("keyring.jwe", "root.key")
    }
    return [
        config_map("app", {"backend.py": backend}),
        config_map("sealyard", {"sealyard.yaml": configuration}),
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "sealyard-keys"},
            "data": secrets,
        },
        pod,
    ]


def config_map(name: str, data: dict[str, str]) -> object:
    """Return a ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def curl(*arguments: str) -> tuple[int, str]:
    """Call from outside the pod."""
    done = subprocess.run(
        [shutil.which("curl") or "", "-s", "-m", "10", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def checked(engine: Engine, image: str, address: str) -> str:
    """Run what tests the redirect in the pod; return what it says."""
    pod = inject(a_pod(), InjectorSettings(image=image))
    check = container(pod, "sealyard-check")
    known = {one["name"]: one.get("value", address) for one in check["env"]}
    variables = [f"--env={name}={value}" for name, value in known.items()]
    within = ("podman", "run", "--rm", "--pod=web", "--cap-drop=ALL", "--user=65532:0")
    return engine(*within, *variables, image, *check["args"]).stdout


def test_an_injected_pod_seals_what_its_application_keeps(
    engine: Engine, image: str, address: str
) -> None:
    url = f"http://{address}:8080/messages"
    message = json.dumps({"conversationId": "c1", "content": CANARY})
    deadline = time.monotonic() + 30
    while curl(f"http://{address}:15082/readyz")[1] != "ready\n":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    code, answer = curl("-H", "Content-Type: application/json", "-d", message, url)
    python = ("podman", "exec", "web-web", "/opt/sealyard/bin/python", "-c")
    kept = engine(*python, "print(open('/dev/shm/data').read())").stdout
    seen = engine(*python, "import os; print(os.path.exists('/etc/sealyard'))").stdout

    assert (code, json.loads(answer)["content"]) == (0, CANARY)
    assert CANARY not in kept
    assert json.loads(kept)["content"].startswith("eyJ0eXAiOiJzeTEi")
    assert seen.strip() == "False"
    assert "failed" not in checked(engine, image, address)
    engine("podman", "kill", "web-sealyard")
    refused = 7
    assert curl(url)[0] == refused
