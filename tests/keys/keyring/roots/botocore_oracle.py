"""The signatures of botocore, one a line; the Python of the environment with moto runs it."""

from __future__ import annotations

import datetime as dt
import json
import sys

from botocore import auth, awsrequest, credentials

for line in sys.stdin:
    one = json.loads(line)
    at = dt.datetime.fromisoformat(one["at"])
    url, body = f"https://{one['host']}/", bytes.fromhex(one["body"])
    request = awsrequest.AWSRequest("POST", url, dict(one["headers"]), body)
    held = credentials.Credentials(one["key_id"], one["secret"], one["token"] or None)
    auth.get_current_datetime = lambda at=at: at
    auth.SigV4Auth(held, "kms", one["region"]).add_auth(request)
    sys.stdout.write(request.headers["Authorization"] + "\n")
