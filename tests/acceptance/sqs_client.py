"""A client of SQS and SNS with boto3: prints what each step gave.

Usage: sqs_client.py ADDRESS CANARY. Runs in an environment of its own.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any, Final

boto3: Final[Any] = importlib.import_module("boto3")  # of the environment of its own
address, canary = sys.argv[1:3]


def client(name: str) -> Any:  # noqa: ANN401 - boto3 makes its clients at run time
    return boto3.client(
        name,
        endpoint_url=address,
        region_name="eu-central-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )


def main() -> None:
    sqs, sns = client("sqs"), client("sns")
    queue = sqs.create_queue(QueueName="visits")["QueueUrl"]
    told = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    topic = sns.create_topic(Name="clinic")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=told["Attributes"]["QueueArn"])
    text = json.dumps({"room": "r1", "note": f'{canary} "quoted" \u00e9 / \U0001f600 \\'})
    entries = [{"Id": str(number), "MessageBody": text} for number in range(2)]
    sqs.send_message(QueueUrl=queue, MessageBody=text)
    failed = sqs.send_message_batch(QueueUrl=queue, Entries=entries).get("Failed", [])
    sns.publish(TopicArn=topic, Message=text)
    bodies: list[Any] = []
    while len(bodies) < 4:
        got = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        for one in got.get("Messages", []):
            bodies.append(json.loads(one["Body"]))
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=one["ReceiptHandle"])
    read = [one.get("Message", one) for one in bodies]
    notes = [json.loads(one) if isinstance(one, str) else one for one in read]
    sys.stdout.write(json.dumps({"failed": failed, "notes": notes}))


main()
