"""One scene for each page with commands: what its reader has when he begins, and meanwhile.

What a scene does between two commands is what the text of the page says there.
"""

from __future__ import annotations

import json
import shutil
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from joserfc.jwk import OKPKey

from tests.pages import scenes_of_roots as roots
from tests.pages import scenes_of_tasks as tasks
from tests.pages.blocks import ROOT
from tests.pages.scene import (
    BACKEND,
    BOUND_TO_FIELD,
    PHRASE,
    RULES,
    Scene,
    admin,
    call,
    configuration,
    page,
)
from tests.redis.server import Server
from tests.scenarios.rig import write_keys
from tests.servers import await_port, child, free_port


def tutorial(scene: Scene) -> None:
    """Nothing but the backend's file: the reader starts everything himself."""
    shutil.copy(BACKEND, scene.folder)
    scene.do("set -m")
    scene.reader.statuses = {"grep -o": 1}  # the log has no message, as the page says
    rules = page("docs/tutorial.md")[-1].text

    def adapt() -> None:
        """Write the rules of the last part, and the name of their field."""
        file = scene.folder / "sealyard.yaml"
        before = file.read_text().replace("  content: {", "  note: {").partition("    rules:\n")[0]
        file.write_text(before + textwrap.indent(rules, "    "))

    scene.reader.before = {
        "sealyard validate": adapt,
        "sealyard explain": lambda: scene.do(
            f"sed -i s/127.0.0.1:9901/127.0.0.1:{scene.ports['9901']}/ sealyard.yaml"
        ),
    }


def readme(scene: Scene) -> None:
    """As of the tutorial, whose backend runs already."""
    backend, sealyard = scene.ports["3000"], scene.ports["8080"]
    shutil.copy(BACKEND, scene.folder)
    scene.reader.values["sealyard init"] = (
        f"sealyard init --listen 127.0.0.1:{sealyard} --upstream http://127.0.0.1:{backend}"
        f" --admin 127.0.0.1:{scene.ports['9901']} >/dev/null 2>&1"
    )


def keys(scene: Scene) -> None:
    """A sidecar that shares its sessions over Redis."""
    server = Server(scene.folder)
    server.start()
    scene.stack.callback(server.kill)
    store = f"  store: redis://127.0.0.1:{server.port}/0\n"
    keyring = "  keyring: {file: keyring.jwe, passphrase: {env: SEALYARD_PASSPHRASE}}\n"
    scene.write("sealyard.yaml", configuration(keyring + store, rules=BOUND_TO_FIELD))
    scene.backend()
    loads: list[Callable[[], None]] = []

    def start() -> None:
        loads.append(scene.serve(SEALYARD_PASSPHRASE=PHRASE))
        scene.send()

    def everywhere() -> None:
        """Let the process have the file, and tell the store so, which it does every 3 s."""
        loads[0]()
        time.sleep(4)

    def used() -> None:
        scene.do(scene.reader.filled("sealyard keys enable k7qm2 2>&1"))
        everywhere()
        scene.send()
        time.sleep(11)

    def sealed_again() -> None:
        scene.send("c1", "after")
        (scene.folder / "token.txt").write_text(scene.token())

    def two() -> None:
        a_fork(scene)

    def another() -> None:
        """Have the backup of a keyring that was made independently."""
        folder = scene.folder / "another"
        folder.mkdir()
        made = "sealyard keys init && sealyard keys export ../two/theirs.jwe"
        scene.do(f"cd {folder} && rm ../two/theirs.jwe && {made}")
        scene.do(f"cd {scene.folder / 'two'}")

    def stolen() -> None:
        """Have a participant in a store, who has confirmed a fingerprint."""
        keyring = "  keyring: {file: keyring.jwe, key: {file: root.key}}\n"
        scene.write("two/sealyard.yaml", configuration(f"{keyring}  store: sqlite:keys.db\n"))
        scene.do("export SEALYARD_PARTICIPANT_PASSPHRASE='correct horse battery'")
        kid = scene.do("sealyard participants add alice --device phone --x25519").strip()
        scene.write("two/confirmed.txt", f"{kid}\n")
        scene.reader.values["rB1cVzDdo0Lh0UTFXhVJ0ZcVYgG3Tq2i1xkYfC0aF4w"] = kid

    leaked = "sealyard keys rotate-records --compromised"
    scene.reader.numbers = True
    scene.reader.statuses = {f"{leaked} --fingerprints": 0, leaked: 1}
    scene.reader.before = {
        "sealyard keys add": start,
        "sealyard keys promote": everywhere,
        "sealyard keys usage": used,
        "mv keyring.jwe": sealed_again,
        "sealyard keys import theirs.jwe": two,
        "sealyard keys adopt": another,
        leaked: stolen,
        "sealyard keys derive": lambda: scene.do("cd .."),
    }


def a_fork(scene: Scene) -> None:
    """Go to a folder with a keyring, and the backup of a copy: each has a KEK of its own."""
    scene.do("export SEALYARD_BACKUP_PASSPHRASE='another twelve characters'")
    ours, theirs = scene.folder / "two", scene.folder / "theirs"
    ours.mkdir()
    write_keys(ours)
    keyring = "  keyring: {file: keyring.jwe, key: {file: root.key}}\n"
    (ours / "sealyard.yaml").write_text(configuration(keyring))
    shutil.copytree(ours, theirs)
    scene.do(f"cd {theirs} && sealyard keys add && sealyard keys export ../two/theirs.jwe")
    scene.do(f"cd {ours} && sealyard keys add")


def participants(scene: Scene) -> None:
    """A store in a file, and Bob's public key."""
    keyring = "  keyring: {file: keyring.jwe, key: {file: root.key}}\n"
    scene.do("sealyard init made && cp -p made/keyring.jwe made/root.key .")
    scene.write("sealyard.yaml", configuration(f"{keyring}  store: sqlite:keys.db\n"))
    pair = OKPKey.generate_key("X25519")
    (scene.folder / "bob.pub.json").write_text(json.dumps(pair.as_dict(private=False)))

    def known(who: str, at: int = -1) -> Callable[[], None]:
        def named() -> None:
            listed = json.loads(scene.do(f"sealyard participants jwks {who}"))["keys"]
            scene.reader.values["KID"] = listed[at]["kid"]

        return named

    def another() -> None:
        """Bob has another key, which nobody has accepted."""
        second = OKPKey.generate_key("X25519").as_dict(private=False)
        (scene.folder / "new.json").write_text(json.dumps(second))
        scene.do("sealyard participants add bob --jwk new.json")

    scene.reader.before = {
        "sealyard participants list bob": another,
        "sealyard participants revoke": known("bob"),
        "sealyard participants private": known("alice", 0),
        "sealyard participants accept": known("bob"),
    }


def end_to_end(scene: Scene) -> None:
    """As of participants, with a Bob who can sign."""
    participants(scene)
    scene.do("sealyard participants add bob --use sig --device phone --under keyring")


def rule_tests(scene: Scene) -> None:
    """The cases of the page, and the rules that they are about."""
    (cases,) = page("docs/how-to/rule-tests.md")
    scene.write("cases.yaml", cases.text)
    rules = RULES.replace(", on_error: keep", "").partition("      - name: list\n")[0]
    rules += """\
      - name: chat
        match: WS /chat
        conversation: const:chat
        request: {encrypt: $.text}
        response: {decrypt: $.text}
"""
    keyring = "  keyring: {file: keyring.jwe, key: {file: root.key}}\n"
    scene.write("sealyard.yaml", configuration(keyring).partition("listeners:")[0] + rules)


def contract(scene: Scene) -> None:
    """The description of the page, and nothing else."""
    (described,) = page("docs/how-to/contract.md")
    (scene.folder / "openapi.yaml").write_text(described.text)


def operate(scene: Scene) -> None:
    """A sidecar with an admin listener, and the processor of the page."""
    scene.do("sealyard init made && cp -p made/keyring.jwe made/root.key made/admin.token .")
    keyring = "  keyring: {file: keyring.jwe, key: {file: root.key}}\n"
    more = "  store: sqlite:keys.db\n" + admin()
    scene.write("sealyard.yaml", configuration(keyring, more))
    scene.backend()
    scene.serve()
    scene.send()
    (program,) = page("docs/how-to/operate.md", "python")
    (scene.folder / "clinic_log.py").write_text(program.text)
    other = scene.ports["8080"], free_port()
    scene.reader.values |= {"/etc/sealyard/python": str(scene.folder)}
    scene.reader.numbers = True
    scene.reader.before = {
        "PYTHONPATH": lambda: scene.do(
            f"sed -i 's/:{other[0]}/:{other[1]}/; /^admin/d' sealyard.yaml"
        ),
        "OTEL": lambda: scene.reader.values.update({"collector:4318": f"127.0.0.1:{free_port()}"}),
    }


def admin_api(scene: Scene) -> None:
    """A credential with the scope `open`, and a token to open."""
    scene.do("sealyard init made && cp -p made/keyring.jwe made/root.key made/admin.token .")
    keyring = "  keyring: {file: keyring.jwe, key: {file: root.key}}\n"
    credential = "{name: reader, token: {file: admin.token}, scopes: [open]}"
    more = f"admin: {{listen: 127.0.0.1:9901, tokens: [{credential}]}}\n"
    rules = RULES.replace("const:clinic", "const:example")  # as those of init
    scene.write("sealyard.yaml", configuration(keyring, more, rules))
    kept = scene.backend()
    scene.serve()
    url = f"http://127.0.0.1:{scene.ports['8080']}/api/messages"
    call(url, {"conversationId": "c1", "content": "Penicillin"})
    assert "Penicillin" not in kept.read_text()
    scene.reader.values["eyJ0eXAiOiJzeTEi..."] = scene.token()
    scene.do("TOKEN=$(cat admin.token)")


def audit(scene: Scene) -> None:
    """A sidecar with ephemeral sessions in a store, which has written an audit log."""
    scene.do("sealyard init made && cp -p made/keyring.jwe made/root.key made/admin.token .")
    keyring = "  keyring: {file: keyring.jwe, key: {file: root.key}}\n"
    more = "  store: sqlite:keys.db\n  sessions: {mode: ephemeral}\n" + admin()
    scene.write("sealyard.yaml", configuration(keyring, f"{more}audit: {{file: audit.log}}\n"))
    scene.backend()
    reload = scene.serve()
    scene.send()
    scene.reader.numbers = True

    def replaced() -> None:
        listed = json.loads(scene.do("sealyard keys list --json"))["keks"]
        scene.reader.values["k1"] = listed[0]["id"]
        scene.do("new=$(sealyard keys add 2>/dev/null)")
        reload()
        scene.do("sealyard keys promote $new --anyway")
        reload()

    scene.reader.before = {"sealyard sessions erase": replaced}


def backends(scene: Scene) -> None:
    """The examples, and a port that is free."""
    (scene.folder / "config").symlink_to(ROOT / "config")

    def adapt() -> None:
        file = scene.folder / "sealyard.yaml"
        text = file.read_text()
        for example, port in scene.ports.items():
            text = text.replace(f":{example}", f":{port}")
        file.write_text(text)

    scene.reader.before = {"export SEALYARD_PASSPHRASE": adapt}


def redis(scene: Scene) -> None:
    """A Redis whose user has what the page says, but for two commands."""
    server = Server(scene.folder)
    server.start()
    scene.stack.callback(server.kill)
    lines = [
        line
        for one in page("docs/how-to/redis.md", "text")
        for line in one.text.splitlines()
        if line.startswith("ACL SETUSER")
    ]
    assert lines
    for line in lines:
        asked = sentinel(scene) if " watcher " in line else server
        assert asked.command(*line.split()) == b"+OK\r\n", line
    server.command("ACL", "SETUSER", "sealyard", "resetpass", ">PASSWORD", "-set", "-publish")
    scene.write("redis.password", "PASSWORD\n")
    (scene.folder / "redis.password").chmod(0o600)
    scene.do("sealyard init made && cp -p made/keyring.jwe made/root.key .")
    keyring = "  keyring: {file: keyring.jwe, key: {file: root.key}}\n"
    store = (
        f"  store: {{url: 'redis://127.0.0.1:{server.port}/0', user: sealyard,"
        " password: {file: redis.password}}\n"
    )
    scene.write("sealyard.yaml", configuration(keyring + store))
    scene.backend()
    scene.reader.numbers = True
    scene.reader.statuses = {"sealyard doctor": 3}


def sentinel(scene: Scene) -> Server:
    """Start a Sentinel that watches nothing; return it."""
    file = scene.folder / "sentinel.conf"
    file.write_text("loglevel warning\n")
    server = Server(scene.folder, options=("--sentinel",))
    program, *words = server.command_line()
    line = [program, str(file), *words]
    process = scene.stack.enter_context(child(line, scene.folder / "sentinel.log"))
    await_port(process, server.port, scene.folder / "sentinel.log")
    return server


def install(scene: Scene) -> None:
    """A home without any folder in it."""


SCENES: Final[dict[str, Callable[[Scene], None]]] = {
    "README.md": readme,
    "docs/explanation/end-to-end.md": end_to_end,
    "docs/how-to/admin.md": admin_api,
    "docs/how-to/audit.md": audit,
    "docs/how-to/backends/README.md": backends,
    "docs/how-to/contract.md": contract,
    "docs/how-to/docker.md": tasks.docker,
    "docs/how-to/install.md": install,
    "docs/how-to/keys.md": keys,
    "docs/how-to/leave.md": tasks.leave,
    "docs/how-to/operate.md": operate,
    "docs/how-to/participants.md": participants,
    "docs/how-to/prometheus.md": tasks.prometheus,
    "docs/how-to/redis-tls.md": tasks.redis_tls,
    "docs/how-to/redis.md": redis,
    "docs/how-to/refused.md": tasks.refused,
    "docs/how-to/roots/aws-kms.md": roots.aws_kms,
    "docs/how-to/roots/pkcs11.md": roots.pkcs11,
    "docs/how-to/roots/shares.md": roots.shares,
    "docs/how-to/rule-tests.md": rule_tests,
    "docs/how-to/tenants.md": tasks.tenants,
    "docs/tutorial.md": tutorial,
}
NEEDS: Final = {
    "docs/how-to/docker.md": ("redis-server",),
    "docs/how-to/keys.md": ("redis-server",),
    "docs/how-to/prometheus.md": ("prometheus", "promtool"),
    "docs/how-to/redis-tls.md": ("redis-server", "openssl"),
    "docs/how-to/redis.md": ("redis-server",),
    "docs/how-to/roots/pkcs11.md": ("softhsm2-util",),
}
"""Programs that a scene needs besides; curl is needed by all."""


@contextmanager
def scene_of(name: str, folder: Path) -> Iterator[Scene]:
    """Set the scene of a page; end all that it started."""
    with ExitStack() as stack:
        scene = Scene(folder, stack)
        SCENES[name](scene)
        yield scene
