"""Descriptions for tests: read, made into rules, and compared with them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from proxy.cli import main
from proxy.cli.support.contract import Contract, Difference
from proxy.config.load import parse
from proxy.config.settings import ListenerSettings
from proxy.description import rules
from proxy.description.blocks import Sealed
from proxy.description.document import Documents, Mistakes
from proxy.description.operations import Description, OperationReader
from proxy.description.schemas import SchemaReader
from proxy.explaining import trial

MARKED = {"type": "string", "x-sensitive-data": True}


def described(
    schema: dict[str, Any],
    media_type: str = "application/json",
    *,
    answers: bool = True,
    **more: Any,  # noqa: ANN401 - any JSON value
) -> dict[str, Any]:
    """Return a description of `POST /things`, whose body has a schema, as its answer has."""
    content = {media_type: {"schema": schema}}
    answer = {"description": "The thing", "content": {"application/json": {"schema": schema}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Things", "version": "1"},
        "paths": {
            "/things": {
                "post": {
                    "operationId": "send",
                    "requestBody": {"required": True, "content": content},
                    "responses": {"201": answer if answers else {"description": "Done"}},
                }
            }
        },
        **more,
    }


def an_object(required: list[str] | None = None, /, **properties: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return the schema of an object, all of whose properties are required unless it is said."""
    names = list(properties) if required is None else required
    return {"type": "object", "required": names, "properties": properties}


def read(folder: Path, document: dict[str, Any] | str, base: str | None = None) -> World:
    """Return a description that has been written to a folder and read."""
    file = folder / "openapi.yaml"
    text = document if isinstance(document, str) else json.dumps(document, indent=1)
    file.write_text(text, "utf-8")
    mistakes = Mistakes()
    documents = Documents(mistakes)
    root = documents.root(str(file))
    mistakes.raise_if_any()
    assert root is not None
    reader = SchemaReader(documents, mistakes, root)
    description = OperationReader(documents, mistakes).read(root, base)
    return World(reader, description, mistakes)


class World:
    """A description that has been read."""

    def __init__(self, reader: SchemaReader, description: Description, mistakes: Mistakes) -> None:
        self.reader = reader
        self.description = description
        self.mistakes = mistakes

    def made(self, sealed: Sealed = "requests") -> rules.Made:
        """Return the configuration that is made; raise DescriptionError for what cannot be."""
        wanted = rules.ConfigurationFrame(
            "openapi.yaml", "127.0.0.1:8080", "http://127.0.0.1:3000", sealed, pass_unmatched=False
        )
        made = rules.make(self.description, self.reader, wanted, self.mistakes)
        self.mistakes.raise_if_any()
        return made

    def listener(self, sealed: Sealed = "requests") -> ListenerSettings:
        """Return the listener of the configuration that is made."""
        return listener(self.made(sealed).text)

    def compared(
        self, with_rules: ListenerSettings, sealed: Sealed = "requests"
    ) -> list[Difference]:
        """Return what differs between the description and rules."""
        keys = trial.TrialKeys(trial.clock)
        one = Contract(with_rules, keys, self.reader, self.mistakes, sealed)
        with asyncio.Runner() as runner:
            found = runner.run(one.findings(self.description))
            others = runner.run(one.rule_findings())
        self.mistakes.raise_if_any()
        return [*(each for some in found.values() for each in some), *others]


def listener(text: str) -> ListenerSettings:
    """Return the only listener of a configuration."""
    return parse(text, Path("sealyard.yaml"), {}).settings.listeners[0]


def mistakes_of(folder: Path, document: dict[str, Any] | str) -> list[str]:
    """Return what `sealyard contract make` refuses, each without its file."""
    file = folder / "openapi.yaml"
    text = document if isinstance(document, str) else json.dumps(document, indent=1)
    file.write_text(text, "utf-8")
    done = CliRunner().invoke(main, ["contract", "make", str(file)])
    if done.exit_code == 0:
        return []
    assert done.stdout == ""
    return [one.partition("openapi.yaml:")[2] for one in done.stderr.splitlines()]
