"""Real servers with a handler for POST /api/pay, each in a lax configuration that people run."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bypass.recorder import recorder
from tests.servers import PATIENCE_SECONDS, await_port, child, free_port

HERE: Final = Path(__file__).parent
TOMCAT: Final = Path("/usr/share/tomcat10")
SYMFONY: Final = "/usr/share/php/Symfony/Component"
EXPRESS: Final = HERE / "express" / "node_modules" / "express"
JARS: Final = Path("/usr/share/java")
_TOMCAT_JARS: Final = (
    "annotations-api",
    "api",
    "catalina",
    "coyote",
    "el-api",
    "jaspic-api",
    "jni",
    "juli",
    "servlet-api",
    "util",
    "util-scan",
)
_SPRING_JARS: Final = ("aop", "beans", "context", "core", "expression", "web", "web.servlet")
JACKSON: Final = tuple(JARS / f"jackson-{one}.jar" for one in ("core", "annotations", "databind"))
SPRING: Final = (
    *(JARS / f"tomcat9-{one}.jar" for one in _TOMCAT_JARS),
    *(JARS / f"spring3-{one}.jar" for one in _SPRING_JARS),
    *JACKSON,
    JARS / "commons-logging.jar",
)
"""Spring MVC, and the servlets that its version knows."""

_NGINX: Final = """\
daemon off; pid {folder}/pid; error_log stderr; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off; merge_slashes on; underscores_in_headers on; ignore_invalid_headers off;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{
    listen 127.0.0.1:{port};
    location / {{ return 404; }}
    location /api/pay {{
      proxy_pass http://127.0.0.1:{recorder}/run;
      proxy_set_header X-Target $request_uri;
    }}
    location ~* "^/api/pay([;/ .].*)?$" {{
      rewrite ^ /run break;
      proxy_pass http://127.0.0.1:{recorder};
      proxy_set_header X-Target $request_uri;
    }}
  }}
}}
"""
_APACHE: Final = """\
ServerRoot {folder}
ServerName localhost
PidFile {folder}/pid
Listen 127.0.0.1:{port}
ErrorLog {folder}/error.log
{modules}
AllowEncodedSlashes On
MergeSlashes On
HttpProtocolOptions Unsafe
RewriteEngine On
RewriteRule "^/api/pay([;/ .].*)?$" "http://127.0.0.1:{recorder}/run" [P,NC,L]
RewriteRule ^ - [R=404,L]
RequestHeader set X-Target "expr=%{{THE_REQUEST}}"
"""
_APACHE_MODULES: Final = ("mpm_event", "authz_core", "proxy", "proxy_http", "rewrite", "headers")
_APACHE_FOLDER: Final = Path("/usr/lib/apache2/modules")
_CADDY: Final = """\
{{
  admin off
  auto_https off
  storage file_system {folder}/storage
}}
http://:{port} {{
  bind 127.0.0.1
  @pay path /api/pay /api/pay/* /api/pay;*
  handle @pay {{
    rewrite * /run?{{query}}
    reverse_proxy 127.0.0.1:{recorder}
  }}
  handle {{
    respond 404
  }}
}}
"""
_TOMCAT_SERVER: Final = """\
<Server port="-1"><Service name="c">
  <Connector address="127.0.0.1" port="{port}" protocol="HTTP/1.1" allowBackslash="true"
    encodedSolidusHandling="decode" encodedReverseSolidusHandling="decode"
    relaxedPathChars="&lt;&gt;[]\\^`{{|}}" relaxedQueryChars="&lt;&gt;[]\\^`{{|}}"/>
  <Engine name="c" defaultHost="h"><Host name="h" appBase="webapps" autoDeploy="false"/></Engine>
</Service></Server>
"""
_TOMCAT_WEB: Final = """\
<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="6.0">
  <servlet><servlet-name>pay</servlet-name><servlet-class>Pay</servlet-class></servlet>
  <servlet-mapping>
    <servlet-name>pay</servlet-name>
    <url-pattern>/api/pay</url-pattern><url-pattern>/api/pay/*</url-pattern>
  </servlet-mapping>
</web-app>
"""


@dataclass(frozen=True)
class Backend:
    """A server that runs, and the file to which its handler adds a line whenever it runs."""

    name: str
    port: int
    record: Path

    def runs(self) -> list[tuple[bytes, bytes]]:
        """Return the target and body of each run since the last call."""
        if not self.record.exists():
            return []
        lines = self.record.read_text().splitlines()
        self.record.unlink()
        pairs = [line.split(" ") for line in lines]
        return [(bytes.fromhex(target), bytes.fromhex(body)) for target, body in pairs]


Plan = Callable[[Path, int, int, Path], list[str]]
"""From a folder, a port, the recorder's port and the record to the command to run."""


def spring(source: Path, folder: Path) -> list[str]:
    """Build an application for a Java that this Spring reads, and return what runs it."""
    path = ":".join(map(str, (folder, *SPRING)))
    build = [tool("javac"), "--release", "8", "-parameters", "-cp", path, "-d", str(folder)]
    subprocess.run([*build, str(source)], check=True, capture_output=True)
    small = ["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    return [tool("java"), *small, "-cp", path, source.stem]


def _nginx(folder: Path, port: int, behind: int, record: Path) -> list[str]:
    file = folder / "nginx.conf"
    file.write_text(_NGINX.format(folder=folder, port=port, recorder=behind))
    return [tool("nginx"), "-p", str(folder), "-e", "stderr", "-c", str(file)]


def _apache(folder: Path, port: int, behind: int, record: Path) -> list[str]:
    modules = "\n".join(
        f"LoadModule {name}_module {_APACHE_FOLDER}/mod_{name}.so" for name in _APACHE_MODULES
    )
    file = folder / "httpd.conf"
    file.write_text(_APACHE.format(folder=folder, port=port, recorder=behind, modules=modules))
    return [tool("apache2"), "-D", "FOREGROUND", "-d", str(folder), "-f", str(file)]


def _caddy(folder: Path, port: int, behind: int, record: Path) -> list[str]:
    file = folder / "Caddyfile"
    file.write_text(_CADDY.format(folder=folder, port=port, recorder=behind))
    return [tool("caddy"), "run", "--config", str(file), "--adapter", "caddyfile"]


def _tomcat(folder: Path, port: int, behind: int, record: Path) -> list[str]:
    classes = folder / "webapps" / "ROOT" / "WEB-INF" / "classes"
    for one in (classes, folder / "conf", folder / "temp"):
        one.mkdir(parents=True)
    (folder / "conf" / "server.xml").write_text(_TOMCAT_SERVER.format(port=port))
    (classes.parent / "web.xml").write_text(_TOMCAT_WEB)
    jar = TOMCAT / "lib" / "servlet-api.jar"
    source = HERE / "tomcat" / "Pay.java"
    subprocess.run([tool("javac"), "-cp", str(jar), "-d", str(classes), str(source)], check=True)
    start = f"{TOMCAT}/bin/bootstrap.jar:{TOMCAT}/bin/tomcat-juli.jar"
    settings = {
        "record": record,
        "org.apache.catalina.startup.EXIT_ON_INIT_FAILURE": "true",
        "catalina.home": TOMCAT,
        "catalina.base": folder,
        "java.io.tmpdir": folder / "temp",
    }
    options = [f"-D{name}={value}" for name, value in settings.items()]
    return [tool("java"), *options, "-cp", start, "org.apache.catalina.startup.Bootstrap", "start"]


def _express(folder: Path, port: int, behind: int, record: Path) -> list[str]:
    return [tool("node"), str(HERE / "express" / "app.mjs"), str(port), str(record)]


def _go(folder: Path, port: int, behind: int, record: Path) -> list[str]:
    build(HERE / "go", folder / "bypass")
    return [str(folder / "bypass"), str(port), str(record)]


def build(source: Path, binary: Path) -> None:
    """Build a Go program of the standard library alone: nothing is fetched."""
    settings = {"GOTOOLCHAIN": "local", "GOPROXY": "off", "GOFLAGS": "-mod=mod"}
    command = [tool("go"), "build", "-o", str(binary), "."]
    subprocess.run(command, cwd=source, env={**os.environ, **settings}, check=True)


def _rails(folder: Path, port: int, behind: int, record: Path) -> list[str]:
    bind = f"tcp://127.0.0.1:{port}"
    app = str(HERE / "rails" / "app.ru")
    return [tool("puma"), "-q", "-e", "production", "-t", "2:2", "-b", bind, app]


def _symfony(folder: Path, port: int, behind: int, record: Path) -> list[str]:
    return [tool("php"), "-n", "-S", f"127.0.0.1:{port}", "-t", str(HERE / "php")]


def _python(app: str) -> Plan:
    def plan(folder: Path, port: int, behind: int, record: Path) -> list[str]:
        return [sys.executable, str(HERE / "apps" / f"{app}.py"), str(port), str(record)]

    return plan


PLANS: Final[dict[str, tuple[Plan, tuple[str, ...]]]] = {
    "nginx": (_nginx, ("nginx",)),
    "Apache": (_apache, ("apache2", str(_APACHE_FOLDER / "mod_proxy_http.so"))),
    "Caddy": (_caddy, ("caddy",)),
    "aiohttp": (_python("aiohttp_app"), ()),
    "Flask": (_python("flask_app"), ()),
    "Express": (_express, ("node", str(EXPRESS))),
    "Go": (_go, ("go",)),
    "Rails": (_rails, ("puma", "rails")),
    "Symfony": (_symfony, ("php", f"{SYMFONY}/HttpFoundation", f"{SYMFONY}/Routing")),
    "Tomcat": (_tomcat, ("java", "javac", str(TOMCAT / "bin" / "bootstrap.jar"))),
}
"""How each server is started, and the commands and files without which it is not here."""


def missing(name: str) -> str | None:
    """Return what a backend needs that is not installed."""
    return lacking(PLANS[name][1])


def lacking(needs: Iterable[str]) -> str | None:
    """Return the first of these commands and files that is not here."""
    for need in needs:
        if not (Path(need).exists() if "/" in need else shutil.which(need, path=_path())):
            return need
    return None


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"


def tool(name: str) -> str:
    """Return where a command is."""
    found = shutil.which(name, path=_path())
    assert found is not None
    return found


@contextlib.contextmanager
def running(name: str, folder: Path) -> Iterator[Backend]:
    """Run a backend as a child process; end it, and nothing else."""
    folder.mkdir()
    record = folder / "record"
    port = free_port()
    log = folder / "log"
    with recorder(record) as behind:
        command = PLANS[name][0](folder, port, behind, record)
        # Caddy keeps its state below the home.
        home = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}
        known = {"RECORD": str(record), "FOLDER": str(folder)}
        # Some rows end in mid-request: Puma, which is one process, would wait for their rest.
        ends = signal.SIGKILL if name == "Rails" else signal.SIGTERM
        with child(command, log, {**home, **known}, cwd=folder, signals=[ends]) as process:
            await_port(process, port, log)
            backend = Backend(name, port, record)
            _warm_up(backend)
            yield backend


def _warm_up(backend: Backend) -> None:
    """Let the handler run once with nothing: what it loads then can take its time."""
    request = b"POST /api/pay HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", backend.port), PATIENCE_SECONDS) as client:
        client.sendall(request)
        while client.recv(65536):
            pass
    assert backend.runs(), f"{backend.name} does not run its handler"
