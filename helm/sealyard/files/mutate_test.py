"""Send a pod to the webhook, and check that it adds the sidecar. argv: URL, [PEM of the CA]."""

import base64
import json
import ssl
import sys
import time
import urllib.error
import urllib.request

url, *pem = sys.argv[1:]
if pem:
    trust = ssl.create_default_context(cadata=pem[0])
else:
    trust = ssl.create_default_context(cafile="/ca/ca.crt")
pod = {
    "metadata": {"labels": {"sealyard.io/inject": "enabled"}},
    "spec": {"containers": [{"name": "web", "ports": [{"containerPort": 8080}]}]},
}
request = {
    "uid": "helm-test",
    "kind": {"group": "", "version": "v1", "kind": "Pod"},
    "operation": "CREATE",
    "object": pod,
}
review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
headers = {"Content-Type": "application/json"}
call = urllib.request.Request(url, json.dumps(review).encode(), headers)
deadline = time.monotonic() + 60
while True:
    try:
        with urllib.request.urlopen(call, timeout=10, context=trust) as answer:
            response = json.load(answer)["response"]
        break
    except urllib.error.HTTPError:
        raise
    except OSError:
        # Helm does not wait for the injector, which may have started as this pod has.
        if time.monotonic() > deadline:
            raise
        time.sleep(1)
if not response["allowed"]:
    sys.exit(f"The webhook denied a pod that it should seal: {response}")
operations = json.loads(base64.b64decode(response["patch"]))
added = [each for each in operations if each["path"] == "/spec/initContainers"]
names = [one["name"] for each in added for one in each["value"]]
if "sealyard" not in names:
    sys.exit(f"The webhook added no sidecar to a pod: {operations}")
print("The webhook adds the sidecar:", ", ".join(names))
