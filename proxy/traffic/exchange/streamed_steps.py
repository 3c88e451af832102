"""The steps of a body that is planned piece by piece while it passes."""

from __future__ import annotations

from ...core.errors import MessageError
from ...core.planning.plan import Plan, Unplanned
from ...core.transform import Forwardable
from ..message_record import MessageRecord
from ..slices import is_long
from .steps import Steps


async def carried_out(
    steps: Steps, record: MessageRecord, piece: Plan | Unplanned
) -> Forwardable | tuple[Unplanned, ...]:
    """Plan and carry out a piece of a body, whose end may be hours away, all in one turn.

    Return what may go on, or what is to be carried out in its place: nothing where it is held back,
    its halves where it failed. Raises MessageError where it is the smallest that can fail.
    """
    long = is_long(piece.body)
    async with steps.slices.turn(long=long) as run:
        if isinstance(piece, Plan):
            message = await steps.carry_out(piece, record, run, piece="piece")
        else:
            try:
                plan = await run(piece.plan) if long else piece.plan()
                if plan is None:
                    return ()
                message = await steps.carry_out(plan, record, run, piece="piece")
            except MessageError:
                halves = await run(piece.halves)
                if not halves:
                    raise
                return halves
    steps.report_unopened(record)
    await steps.write_down(record)
    return message
