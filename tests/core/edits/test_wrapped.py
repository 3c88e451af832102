"""Edits that are carried, out of texts within texts."""

from __future__ import annotations

from proxy.core.edits.edits import SealEdit
from proxy.core.edits.wrapped import CarriedEdit
from proxy.core.planning.exchange import Exchange
from proxy.core.planning.planner import plan_request
from tests.factories import Trip, a_block, a_message, a_rule


def test_an_edit_is_found_however_deep_it_is_carried() -> None:
    trip = Trip((a_rule(request=a_block(encrypt=["$.content"])),), a_message())
    exchange: Exchange = trip.exchange
    [edit] = plan_request(exchange, trip.message.body).edits
    assert isinstance(edit, SealEdit)
    carried = CarriedEdit(CarriedEdit(CarriedEdit(edit, bytes), bytes), bytes)
    assert carried.innermost is edit
    assert (carried.context, carried.token) == (edit.context, edit.token)
