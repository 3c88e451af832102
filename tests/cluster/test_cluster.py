"""`./dev test-cluster`: Sealyard on a real cluster, under what a platform team does to it."""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme
import yaml

from tests.chart.conftest import CHART
from tests.cluster import objects
from tests.cluster.kube import PATIENCE, PYTHON, SECOND, Kube, Refused


def a_canary() -> str:
    return f"CANARY-{secrets.token_hex(8)}"


@contextmanager
def beside(work: Callable[[], None]) -> Iterator[None]:
    """Do work again and again while a block runs; what it raises is raised."""
    over = threading.Event()

    def loop() -> None:
        while not over.is_set():
            work()

    with ThreadPoolExecutor(1) as pool:
        task = pool.submit(loop)
        try:
            yield
        finally:
            over.set()
        task.result(PATIENCE)


class Creates:
    """Pods that are created and not kept: `--dry-run=server` passes all of admission."""

    def __init__(self, kube: Kube) -> None:
        self.kube = kube
        self.made = 0

    def once(self) -> None:
        pod = self.kube.pod(f"try-{self.made}", sealed=True)
        said = self.kube.ctl(
            *("create", "--dry-run=server", "-o", "json", "-f", "-"), given=yaml.safe_dump(pod)
        )
        assert "sealyard" in self.kube.containers(yaml.safe_load(said))
        self.made += 1


def test_the_test_of_the_chart_passes(kube: Kube) -> None:
    kube.run("helm4", "test", kube.release, "-n", kube.space, "--timeout", f"{PATIENCE}s")


def test_one_label_seals(kube: Kube) -> None:
    canary = a_canary()
    assert set(kube.ask(canary)) == {"200"}
    assert canary not in kube.collected()
    assert "eyJ0eXAi" in kube.collected()
    for pod in kube.pods_of("web"):
        assert kube.containers(pod)[:2] == ["sealyard-redirect", "sealyard"]
        for container in ("sealyard", "web"):
            said = kube.ctl("logs", pod["metadata"]["name"], "-c", container)
            assert canary not in said


def test_pods_that_roll_under_load_lose_nothing_and_show_nothing(kube: Kube) -> None:
    canary = a_canary()

    def roll() -> None:
        kube.ctl("rollout", "restart", "deployment/web")
        kube.rolled_out("web")

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(kube.ask, canary, rate=20, seconds=60)
        time.sleep(5)
        roll()
        found = asked.result(PATIENCE)
    assert set(found) == {"200"}, found
    assert canary not in kube.collected()


def test_an_eviction_under_load_shows_nothing(kube: Kube) -> None:
    canary = a_canary()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(kube.ask, canary, rate=20, seconds=30)
        time.sleep(3)
        name = kube.pods_of("web")[0]["metadata"]["name"]
        path = f"/api/v1/namespaces/{kube.shop}/pods/{name}/eviction"
        given = json.dumps(objects.eviction(name, kube.shop))
        kube.run("kubectl", "create", "--raw", path, "-f", "-", given=given)
        found = asked.result(PATIENCE)
    kube.rolled_out("web")
    assert found.pop("200") > 300
    assert sum(found.values()) <= 2, found  # connections of the evicted pod
    assert canary not in kube.collected()


def test_a_quota_and_a_limit_range_let_sealed_pods_start(kube: Kube) -> None:
    kube.apply(objects.LIMIT_RANGE, objects.QUOTA)
    try:
        kube.apply(kube.pod("quota", sealed=True))
        kube.ctl("wait", "--for=condition=Ready", "pod/quota", f"--timeout={PATIENCE}s")
        pod = kube.get("pod", "quota")
        parts = [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]
        assert all("cpu" in one["resources"]["limits"] for one in parts)
    finally:
        kube.ctl("delete", "limitrange/defaults", "resourcequota/quota", "pod/quota")


def test_an_ephemeral_container_does_not_see_the_keys(kube: Kube) -> None:
    name = kube.pods_of("web")[0]["metadata"]["name"]
    pod = kube.get("pod", name)
    [volume] = [
        one["name"]
        for one in pod["spec"]["volumes"]
        if one.get("secret", {}).get("secretName") == "sealyard-keys"
    ]

    def debug(container: str, **more: object) -> None:
        made = {
            "name": container,
            "image": kube.image,
            "command": [PYTHON, "-c", "print(1)"],
            **more,
        }
        changed = kube.get("pod", name)
        changed["spec"].setdefault("ephemeralContainers", []).append(made)
        # kubectl changes this subresource by no option of `patch`.
        path = f"/api/v1/namespaces/{kube.shop}/pods/{name}/ephemeralcontainers"
        kube.run("kubectl", "replace", "--raw", path, "-f", "-", given=json.dumps(changed))

    with pytest.raises(Refused, match="Sealyard"):
        debug("thief", volumeMounts=[{"name": volume, "mountPath": "/keys"}])
    with pytest.raises(Refused, match="joins the processes"):
        debug("ghost", targetContainerName="sealyard")
    debug("doctor")


@pytest.mark.parametrize("name", ["aaa-second", "zzz-second"], ids=["before", "after"])
def test_a_second_webhook_unseals_nothing(kube: Kube, tmp_path: Path, name: str) -> None:
    with second_webhook(kube, tmp_path, name):
        kube.ctl("rollout", "restart", "deployment/web")
        kube.rolled_out("web")
        for pod in kube.pods_of("web"):
            assert {"helper", "sealyard", "sealyard-redirect"} <= set(kube.containers(pod))
            for one in [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]:
                assert one["resources"]["requests"]
        canary = a_canary()
        assert set(kube.ask(canary)) == {"200"}
        assert canary not in kube.collected()
    kube.ctl("rollout", "restart", "deployment/web")
    kube.rolled_out("web")


def test_a_renewal_and_twenty_syncs_refuse_no_pod(kube: Kube) -> None:
    """What Argo CD and Flux do: render without the cluster, and apply."""
    creates = Creates(kube)
    secret = f"secret/{kube.webhook}-certificate"
    first = kube.get(secret, space=kube.space)["data"]["tls.crt"]
    with beside(creates.once):
        for _ in range(20):
            command = ("helm4", "template", kube.release, str(CHART), "-n", kube.space)
            rendered = kube.run(*command, "--skip-tests", *kube.settings())
            # All of it is in the injector's namespace; kubectl refuses another one.
            words = ("apply", "--server-side", "--force-conflicts", "-f", "-")
            kube.ctl(*words, given=rendered, space=kube.space)
    assert creates.made > 20
    assert kube.get(secret, space=kube.space)["data"]["tls.crt"] == first
    emptied = '[{"op": "remove", "path": "/data"}]'
    kube.ctl("patch", secret, "--type=json", "-p", emptied, space=kube.space)
    kube.until(
        lambda: kube.get(secret, space=kube.space).get("data", {}).get("tls.crt", first) != first,
        "another certificate",
    )
    # The kubelet takes no part: replicas read the Secret themselves, every ten seconds.
    time.sleep(30)
    with beside(creates.once):
        time.sleep(10)


def test_an_upgrade_refuses_no_pod(bare: Kube) -> None:
    """Last of all: it replaces the pods of the injector."""
    bare.install(*bare.settings())
    creates = Creates(bare)
    creates.once()
    with beside(creates.once):
        bare.install(*bare.settings(), "--set", "injector.logFormat=console")
        time.sleep(15)
    assert creates.made > 10


@contextmanager
def second_webhook(kube: Kube, folder: Path, name: str) -> Iterator[None]:
    """Install the second webhook; its name decides whether it is called before ours or after."""
    host = f"{name}.{kube.space}.svc"
    authority = trustme.CA()
    leaf = authority.issue_cert(host)
    leaf.private_key_pem.write_to_path(folder / "tls.key")
    leaf.cert_chain_pems[0].write_to_path(folder / "tls.crt")
    pair = [f"--{one}={folder / f'tls.{end}'}" for one, end in (("cert", "crt"), ("key", "key"))]
    kube.ctl("create", "secret", "tls", name, *pair, space=kube.space)
    kube.ctl("create", "configmap", name, f"--from-file={SECOND}", space=kube.space)
    kube.apply(*objects.second_webhook(kube, name), space=kube.space)
    kube.ctl(
        *("rollout", "status", f"deployment/{name}", f"--timeout={PATIENCE}s"), space=kube.space
    )
    bundle = _encoded(authority.cert_pem.bytes())
    kube.apply(objects.second_configuration(kube, name, bundle))
    try:
        yield
    finally:
        kind = f"mutatingwebhookconfiguration/{name}-{kube.space}"
        kube.run("kubectl", "delete", kind)
        kinds = (f"deployment/{name}", f"service/{name}", f"secret/{name}", f"configmap/{name}")
        kube.ctl("delete", *kinds, space=kube.space)


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()
