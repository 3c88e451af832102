"""A second mutating webhook: it prepends a container, and gives every container requests.

second_webhook.py PORT CERT KEY IMAGE; the standard library alone, in Sealyard's own image.
"""

from __future__ import annotations

import base64
import json
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NAME = "helper"


def patch(pod: Any, image: str) -> list[dict[str, Any]]:  # noqa: ANN401 - JSON
    """Return the operations for a pod; none for one that has them."""
    made: list[dict[str, Any]] = []
    spec = pod["spec"]
    for place in ("initContainers", "containers"):
        for index, one in enumerate(spec.get(place) or []):
            if not one.get("resources", {}).get("requests"):
                value = {**one.get("resources", {}), "requests": {"cpu": "10m", "memory": "32Mi"}}
                path = f"/spec/{place}/{index}/resources"
                made.append({"op": "add", "path": path, "value": value})
    if all(one["name"] != NAME for one in spec["containers"]):
        sleep = ["/opt/sealyard/bin/python", "-c", "import time; time.sleep(1e6)"]
        helper = {
            "name": NAME,
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "command": sleep,
            "ports": [{"containerPort": 15090}],
            "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
        }
        made.append({"op": "add", "path": "/spec/containers/0", "value": helper})
    return made


class Handler(BaseHTTPRequestHandler):
    """One review."""

    protocol_version = "HTTP/1.1"
    image = ""

    def do_POST(self) -> None:
        """Answer an AdmissionReview."""
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        operations = patch(review["request"]["object"], self.image)
        review["response"] = {"uid": review["request"]["uid"], "allowed": True}
        if operations:
            encoded = base64.b64encode(json.dumps(operations).encode()).decode()
            review["response"] |= {"patchType": "JSONPatch", "patch": encoded}
        del review["request"]
        body = json.dumps(review).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """Be ready."""
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


if __name__ == "__main__":
    port, cert, key, Handler.image = sys.argv[1:]
    server = ThreadingHTTPServer(("0.0.0.0", int(port)), Handler)  # noqa: S104 - in a pod of its own
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()
