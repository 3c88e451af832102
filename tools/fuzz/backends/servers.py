"""Starting the backends: real servers and frameworks, each with the same application."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bypass.backends import (
    EXPRESS,
    JACKSON,
    SPRING,
    SYMFONY,
    TOMCAT,
    build,
    lacking,
    spring,
    tool,
)
from tests.servers import await_port, free_port

from .routes import ROUTES

APPS: Final = Path(__file__).parent / "apps"
CONTRACT: Final = json.dumps([route.contract() for route in ROUTES])
_PATIENCE_SECONDS: Final = 20.0
_START_SECONDS: Final = 120.0
"""All start at once, and some compile first."""
_GO: Final = Path("/usr/share/gocode")
_PACKAGES: Final = "/usr/lib/python3/dist-packages"
_TOMCAT_SERVER: Final = """\
<Server port="-1"><Service name="c">
  <Connector address="127.0.0.1" port="{port}" protocol="HTTP/1.1" allowBackslash="true"
    encodedSolidusHandling="decode" encodedReverseSolidusHandling="decode" maxKeepAliveRequests="-1"
    maxThreads="4" relaxedPathChars="&lt;&gt;[]\\^`{{|}}" relaxedQueryChars="&lt;&gt;[]\\^`{{|}}"/>
  <Engine name="c" defaultHost="h"><Host name="h" appBase="webapps" autoDeploy="false"/></Engine>
</Service></Server>
"""
_NGINX: Final = """\
daemon off; {user} pid {folder}/nginx.pid; error_log stderr; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off; underscores_in_headers on; ignore_invalid_headers off; keepalive_requests 1000000;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{
    listen 127.0.0.1:{port}; root {root}; index index.php;
    location / {{ try_files $uri /index.php$is_args$args; }}
    location ~ [^/]\\.php(/|$) {{
      fastcgi_split_path_info ^(.+?\\.php)(/.*)$;
      fastcgi_pass 127.0.0.1:{behind};
      fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
      fastcgi_param SCRIPT_NAME $fastcgi_script_name;
      fastcgi_param PATH_INFO $fastcgi_path_info;
      fastcgi_param QUERY_STRING $query_string;
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param REQUEST_URI $request_uri;
      fastcgi_param CONTENT_TYPE $content_type;
      fastcgi_param CONTENT_LENGTH $content_length;
      fastcgi_param SERVER_PROTOCOL $server_protocol;
      fastcgi_param DOCUMENT_ROOT $document_root;
      fastcgi_param HTTP_HOST $http_host;
      fastcgi_param RECORD {record};
      fastcgi_param CONTRACT {folder}/contract.json;
    }}
  }}
}}
"""
_FPM: Final = """\
[global]
error_log = {folder}/fpm.log
daemonize = no
[www]
listen = 127.0.0.1:{behind}
pm = static
pm.max_children = 2
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one backend runs and where it reports to."""

    folder: Path
    port: int
    record: Path


Plan = Callable[[Place], list[list[str]]]
"""From a place to the commands to run; the last of them listens on the port."""


def _python(app: str) -> Plan:
    def plan(at: Place) -> list[list[str]]:
        command = [sys.executable, str(APPS / f"{app}.py"), str(at.port), str(at.record), CONTRACT]
        return [command]

    return plan


def _debian(app: str) -> Plan:
    """Run an app on the system's Python, which sees the packages of the system alone."""

    def plan(at: Place) -> list[list[str]]:
        command = ["/usr/bin/python3", "-I", str(APPS / f"{app}.py")]
        return [[*command, str(at.port), str(at.record), CONTRACT]]

    return plan


def _express(at: Place) -> list[list[str]]:
    packages = str(EXPRESS.parents[1])
    app = str(APPS / "express.mjs")
    return [[tool("node"), app, str(at.port), str(at.record), CONTRACT, packages]]


def _go(at: Place) -> list[list[str]]:
    binary = at.folder / "reports"
    build(APPS / "go", binary)
    return [[str(binary), str(at.port), str(at.record), CONTRACT]]


def _echo(at: Place) -> list[list[str]]:
    """Build against Debian's packages of Go: nothing is fetched."""
    binary = at.folder / "reports"
    settings = {"GOTOOLCHAIN": "local", "GO111MODULE": "off", "GOPATH": str(_GO)}
    command = [tool("go"), "build", "-o", str(binary), "."]
    subprocess.run(command, cwd=APPS / "echo", env={**os.environ, **settings}, check=True)
    return [[str(binary), str(at.port), str(at.record), CONTRACT]]


def _rack(app: str) -> Plan:
    def plan(at: Place) -> list[list[str]]:
        bind = f"tcp://127.0.0.1:{at.port}"
        command = [tool("puma"), "-q", "-e", "production", "-t", "2:2", "-b", bind]
        return [[*command, str(APPS / app)]]

    return plan


def _plack(at: Place) -> list[list[str]]:
    # A worker has one connection: without keeping it, no worker waits for what another has.
    listen = ["--listen", f"127.0.0.1:{at.port}", "--workers", "2", "--disable-keepalive"]
    return [[tool("starman"), *listen, str(APPS / "plack.psgi")]]


def _php(root: Path, *extensions: str) -> Plan:
    def plan(at: Place) -> list[list[str]]:
        (at.folder / "contract.json").write_text(CONTRACT)
        known = {
            "folder": at.folder,
            "port": at.port,
            "behind": free_port(),
            "root": root,
            "record": at.record,
            # What root started reads the scripts as root, wherever this repository is.
            "user": "user root;" if os.geteuid() == 0 else "",
        }
        (at.folder / "nginx.conf").write_text(_NGINX.format(**known))
        (at.folder / "fpm.conf").write_text(_FPM.format(**known))
        more = [word for one in extensions for word in ("-d", f"extension={one}")]
        fpm = [tool(_fpm()), "-n", *more, "-R", "-F", "-y", str(at.folder / "fpm.conf")]
        nginx = [tool("nginx"), "-p", str(at.folder), "-e", "stderr", "-c"]
        # Without a php.ini, as in PHP's own image: cookies are then among $_REQUEST.
        return [fpm, [*nginx, str(at.folder / "nginx.conf")]]

    return plan


def _fpm() -> str:
    """Return the name of the manager, which has PHP's version in it."""
    found = sorted(path.name for path in Path("/usr/sbin").glob("php-fpm*"))
    return found[-1] if found else "php-fpm"


def _tomcat(at: Place) -> list[list[str]]:
    inside = at.folder / "webapps" / "ROOT" / "WEB-INF"
    classes = inside / "classes"
    for one in (classes, inside / "lib", at.folder / "conf", at.folder / "temp"):
        one.mkdir(parents=True)
    (at.folder / "conf" / "server.xml").write_text(_TOMCAT_SERVER.format(port=at.port))
    (inside / "web.xml").write_text(_web())
    for jar in JACKSON:
        shutil.copy(jar, inside / "lib" / jar.name)
    path = ":".join(str(one) for one in (TOMCAT / "lib" / "servlet-api.jar", *JACKSON))
    source = str(APPS / "tomcat" / "Report.java")
    command = [tool("javac"), "-cp", path, "-d", str(classes), source]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    settings = {
        "record": at.record,
        "contract": CONTRACT,
        "org.apache.catalina.startup.EXIT_ON_INIT_FAILURE": "true",
        "catalina.home": TOMCAT,
        "catalina.base": at.folder,
        "java.io.tmpdir": at.folder / "temp",
    }
    options = [f"-D{name}={value}" for name, value in settings.items()]
    start = f"{TOMCAT}/bin/bootstrap.jar:{TOMCAT}/bin/tomcat-juli.jar"
    small = ["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    main = ["-cp", start, "org.apache.catalina.startup.Bootstrap", "start"]
    return [[tool("java"), *small, *options, *main]]


def _spring(at: Place) -> list[list[str]]:
    run = spring(APPS / "spring" / "Reports.java", at.folder)
    return [[*run, str(at.port), str(at.record), CONTRACT]]


def _web() -> str:
    """Return the description of the application: one servlet, for a pattern of each route."""
    paths = dict.fromkeys(route.path.partition("{")[0] for route in ROUTES)
    patterns = "".join(
        f"<url-pattern>{path}{'*' if path.endswith('/') else ''}</url-pattern>" for path in paths
    )
    return (
        '<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="6.0">'
        "<servlet><servlet-name>r</servlet-name><servlet-class>Report</servlet-class>"
        "<multipart-config/></servlet>"
        f"<servlet-mapping><servlet-name>r</servlet-name>{patterns}</servlet-mapping></web-app>"
    )


@dataclass(frozen=True, slots=True)
class Server:
    """A kind of backend: how it is started, and what must be installed for that."""

    plan: Plan
    needs: tuple[str, ...] = ()


SERVERS: Final[Mapping[str, Server]] = {
    "go": Server(_go, ("go",)),
    "php": Server(_php(APPS / "php"), ("nginx", _fpm())),
    "symfony": Server(
        _php(APPS / "symfony"),
        ("nginx", _fpm(), f"{SYMFONY}/HttpFoundation", f"{SYMFONY}/Routing"),
    ),
    "laravel": Server(
        _php(APPS / "laravel", "mbstring", "ctype"),
        ("nginx", _fpm(), "/usr/share/php/Illuminate/Foundation"),
    ),
    "rails": Server(_rack("rails.ru"), ("puma", "rails")),
    "sinatra": Server(_rack("sinatra.ru"), ("puma", "/usr/share/doc/ruby-sinatra")),
    "plack": Server(_plack, ("starman",)),
    "echo": Server(_echo, ("go", f"{_GO}/src/github.com/labstack/echo")),
    "cherrypy": Server(_debian("cherrypy_app"), (f"{_PACKAGES}/cherrypy",)),
    "flask": Server(_python("flask_app")),
    "aiohttp": Server(_python("aiohttp_app")),
    "django": Server(_debian("django_app"), (f"{_PACKAGES}/django", f"{_PACKAGES}/uvicorn")),
    "fastapi": Server(
        _debian("fastapi_app"), (f"{_PACKAGES}/fastapi", f"{_PACKAGES}/python_multipart")
    ),
    "express": Server(_express, ("node", str(EXPRESS.parent / "multer"))),
    "tomcat": Server(
        _tomcat,
        ("java", "javac", str(TOMCAT / "bin" / "bootstrap.jar"), *(str(jar) for jar in JACKSON)),
    ),
    "spring": Server(_spring, ("java", "javac", *(str(jar) for jar in SPRING))),
}


def missing(name: str) -> str | None:
    """Return what a backend needs that is not installed."""
    return lacking(SERVERS[name].needs)


@contextlib.contextmanager
def running(name: str, folder: Path) -> Iterator[Place]:
    """Run a backend until the context ends; end its processes, and nothing else."""
    folder.mkdir(parents=True)
    at = Place(folder, free_port(), folder / "record")
    at.record.touch()
    settings = {"RECORD": str(at.record), "CONTRACT": CONTRACT, "FOLDER": str(folder)}
    home = {"HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    processes: list[subprocess.Popen[bytes]] = []
    with (folder / "log").open("wb") as log:
        try:
            for command in SERVERS[name].plan(at):
                process = subprocess.Popen(
                    command,
                    cwd=folder,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, **settings, **home},
                )
                processes.append(process)
            await_port(processes[-1], at.port, folder / "log", _START_SECONDS)
            yield at
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)
            for process in processes:
                try:
                    process.wait(_PATIENCE_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
