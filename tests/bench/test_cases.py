from __future__ import annotations

from tools.bench.cases import CASES, QUICK, QUICK_PEERS
from tools.bench.cells import reference
from tools.bench.parts import NAMES
from tools.bench.peers import PEERS, sealyard
from tools.bench.works import works

FORMS = {sealyard.NAME, sealyard.PYTHON}


def test_each_case_is_work_that_both_forms_of_sealyard_do() -> None:
    kinds = works("c-1")
    for case in CASES:
        able = {peer.name for peer in PEERS if case.work_of(peer)}
        assert able >= FORMS, case
        assert {case.work, case.beside or case.work} <= kinds.keys()
        assert case.only is None or {*case.only, *case.passing} <= {peer.name for peer in PEERS}


def test_a_name_is_that_of_one_case_or_part() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert set(QUICK) < set(NAMES)
    assert FORMS < QUICK_PEERS


def test_all_is_paired_with_the_native_form_where_it_is_there() -> None:
    native, python = sealyard.FORMS

    assert reference([native, python]) == native
    assert reference([python]) == python
