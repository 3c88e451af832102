"""Each broken environment ends the start with 3 and one clear line, and nothing ever listens."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy.config.settings import SecretReference
from proxy.keys.keyring import file
from proxy.keys.keyring.roots import FileRoot
from proxy.keys.keyring.roots.passphrase import PassphraseRoot
from tests.scenarios.rig import A_FORM, a_configuration, command, environment, write_keys
from tests.servers import free_port


@dataclass
class Place:
    """A folder with keys and a configuration that would start, before something is broken."""

    folder: Path
    port: int
    environment: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    held: list[socket.socket] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.folder / "sealyard.yaml"

    def edit(self, old: str, new: str) -> None:
        """Change the configuration."""
        text = self.file.read_text()
        assert old in text
        self.file.write_text(text.replace(old, new))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    write_keys(tmp_path)
    made = Place(tmp_path, free_port())
    made.file.write_text(a_configuration(free_port(), listen=f"127.0.0.1:{made.port}"))
    return made


def no_keyring(place: Place) -> None:
    (place.folder / "keyring.jwe").unlink()


def damaged_keyring(place: Place) -> None:
    (place.folder / "keyring.jwe").write_text("{}")


def open_keyring(place: Place) -> None:
    (place.folder / "keyring.jwe").chmod(0o644)


def wrong_root_key(place: Place) -> None:
    (place.folder / "root.key").write_text("A" * 43 + "\n")


def no_passphrase(place: Place) -> None:
    place.edit("key: {file: root.key}", "passphrase: {env: SEALYARD_TEST_PASSPHRASE}")
    path, reference = place.folder / "keyring.jwe", SecretReference(env="P")
    keyring = file.open_keyring(path, FileRoot(SecretReference(file=place.folder / "root.key")))
    path.unlink()
    file.create_keyring(path, keyring, PassphraseRoot(reference, {"P": "the passphrase of it"}))


def another_root(place: Place) -> None:
    place.edit("key: {file: root.key}", "passphrase: {env: SEALYARD_TEST_PASSPHRASE}")
    place.environment["SEALYARD_TEST_PASSPHRASE"] = "a passphrase of nothing"


def wrong_passphrase(place: Place) -> None:
    no_passphrase(place)
    place.environment["SEALYARD_TEST_PASSPHRASE"] = "not the passphrase of it"


def no_token(place: Place) -> None:
    (place.folder / "admin.token").unlink()


def open_token(place: Place) -> None:
    (place.folder / "admin.token").chmod(0o640)


def short_token(place: Place) -> None:
    (place.folder / "admin.token").write_text("short\n")


def unset_token(place: Place) -> None:
    place.edit("token: {file: admin.token}", "token: {env: SEALYARD_TEST_TOKEN}")


def taken_port(place: Place) -> None:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    place.held.append(sock)
    place.edit(f"127.0.0.1:{place.port}", f"127.0.0.1:{sock.getsockname()[1]}")


def taken_port_for_workers(place: Place) -> None:
    place.options = ("--workers", "2")
    taken_port(place)
    place.held[0].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def wrong_root_key_for_workers(place: Place) -> None:
    place.options = ("--workers", "2")
    wrong_root_key(place)


def taken_admin_port(place: Place) -> None:
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    place.held.append(taken)
    place.edit('admin: {listen: "127.0.0.1:0"', f'admin: {{listen: "127.0.0.1:{port_of(taken)}"')


def no_certificate(place: Place) -> None:
    place.edit("unmatched: pass", "unmatched: pass\n    tls: {cert: no.pem, key: no.key}")


def damaged_certificate(place: Place) -> None:
    no_certificate(place)
    (place.folder / "no.pem").write_text("not a certificate")
    (place.folder / "no.key").write_text("not a key")


def the_same_port_twice(place: Place) -> None:
    text = place.file.read_text()
    again = text[text.index("  - name: api") :].replace("name: api", "name: again")
    place.file.write_text(text + again)


def admin_on_the_port_of_a_listener(place: Place) -> None:
    place.edit('admin: {listen: "127.0.0.1:0"', f'admin: {{listen: "127.0.0.1:{place.port}"')


def no_folder_for_the_socket(place: Place) -> None:
    place.edit(f"listen: 127.0.0.1:{place.port}", "listen: unix:missing/front.sock")


def a_file_in_place_of_the_socket(place: Place) -> None:
    (place.folder / "front.sock").write_text("precious")
    place.edit(f"listen: 127.0.0.1:{place.port}", "listen: unix:front.sock")


def no_configuration(place: Place) -> None:
    place.file.unlink()


def unknown_key(place: Place) -> None:
    place.edit("unmatched: pass", "unmatched: pass\n    unknown: yes")


def no_unmatched(place: Place) -> None:
    place.edit("    unmatched: pass\n", "")


def unknown_form(place: Place) -> None:
    place.edit(f"form: {A_FORM}", "form: rot13")


def no_c_parser(place: Place) -> None:
    place.environment["AIOHTTP_NO_EXTENSIONS"] = "1"


def port_of(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


TABLE: dict[Callable[[Place], None], str] = {
    no_keyring: "keyring.jwe: No such file",
    damaged_keyring: "keyring.jwe",
    open_keyring: "mode 0644 lets others in",
    wrong_root_key: "keyring.jwe",
    no_passphrase: "SEALYARD_TEST_PASSPHRASE` holds no passphrase",
    wrong_passphrase: "the keyring does not open",
    another_root: "no wrapping for the configured root `passphrase`",
    no_token: "admin.token: No such file",
    open_token: "mode 0640 lets others in",
    short_token: "admin.token: not a token of at least 16 characters",
    unset_token: "environment variable SEALYARD_TEST_TOKEN",
    taken_port: "address already in use",
    taken_port_for_workers: "address already in use",
    wrong_root_key_for_workers: "keyring.jwe",
    taken_admin_port: "address already in use",
    no_certificate: "no.pem",
    damaged_certificate: "no.pem",
    the_same_port_twice: "has the same address",
    admin_on_the_port_of_a_listener: "address already in use",
    no_folder_for_the_socket: "missing/front.sock: No such file",
    a_file_in_place_of_the_socket: "exists and is not a socket",
    no_configuration: "the file does not exist",
    unknown_key: "the key <hidden> is unknown",
    no_unmatched: "`unmatched`",
    unknown_form: "fields.content.form <hidden> is unknown; one of: base64, equal, jwe, short",
    no_c_parser: "without its C parser",
}


WITHOUT_A_FILE = {no_c_parser}
"""What is found before the configuration is looked for."""


@pytest.mark.parametrize("broken", TABLE, ids=lambda broken: broken.__name__)
def test_b21_a_broken_environment_ends_the_start(
    place: Place, broken: Callable[[Place], None]
) -> None:
    broken(place)
    ended = subprocess.run(  # noqa: S603 - Sealyard itself
        command(place.folder, *place.options),
        env=environment(**place.environment),
        capture_output=True,
        timeout=30,
        check=False,
    )
    for sock in place.held:
        sock.close()

    said = [line for line in ended.stderr.decode().splitlines() if not line.startswith("{")]
    assert ended.returncode == 3, said
    assert said[0].startswith("error: ")
    assert TABLE[broken] in "\n".join(said)
    if broken not in WITHOUT_A_FILE:
        assert re.match(r"`sealyard (validate|doctor) --config \S+sealyard.yaml` \w", said[-1]), (
            said
        )
    assert b"server.ready" not in ended.stderr
    assert b"listener.started" not in ended.stderr
    assert b"Traceback" not in ended.stderr
