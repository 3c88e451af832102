"""A plug-in of Kinto that keeps what it is sent as records, without a request for each of them."""

from __future__ import annotations

from typing import Any


def includeme(config: Any) -> None:  # noqa: ANN401 - Pyramid's, in the environment of Kinto alone
    """Serve `POST /v1/kept/ROOM`: a list of texts, each the content of a record."""
    config.add_route("kept", "/kept/{room}")
    config.add_view(
        _keep,
        route_name="kept",
        request_method="POST",
        permission="__no_permission_required__",
        renderer="json",
    )


def _keep(request: Any) -> dict[str, int]:  # noqa: ANN401 - as above
    room = f"/buckets/clinic/collections/{request.matchdict['room']}"
    for text in request.json_body:
        request.registry.storage.create("record", room, {"content": text})
    return {"kept": len(request.json_body)}
