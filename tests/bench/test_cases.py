from __future__ import annotations

from tools.bench.cases import CASES, LUA, OBVIOUS, QUICK_PEERS
from tools.bench.cells import reference
from tools.bench.parts import NAMES, QUICK
from tools.bench.peers import PEERS, sealyard
from tools.bench.works import works

FORMS = {sealyard.NAME, sealyard.PYTHON}


def test_each_case_is_work_that_sealyard_does_and_its_peers_with_the_same_store_or_tls() -> None:
    kinds = works("c-1")
    for case in CASES:
        able = {peer.name for peer in PEERS if case.work_of(peer)}
        assert case.variant(sealyard.NAME) in able, case
        assert able >= FORMS or case.variant(sealyard.NAME) != sealyard.NAME, case
        assert {peer.tls for peer in PEERS if peer.name in able} in ({True}, {False}), case
        assert {case.work, case.beside or case.work} <= kinds.keys()
        assert case.only is None or {*case.only, *case.passing} <= {peer.name for peer in PEERS}


def test_a_name_is_that_of_one_case_or_part() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert {case.name for case in CASES} < QUICK < set(NAMES)
    assert FORMS < QUICK_PEERS


def test_the_quick_form_has_all_that_each_row_is_compared_with() -> None:
    for case in CASES:
        compared = {case.variant(name) for name in (sealyard.NAME, OBVIOUS, LUA)}
        taking = {peer.name for peer in PEERS if case.work_of(peer)}
        assert compared & taking <= QUICK_PEERS, case


def test_all_is_paired_with_the_native_form_where_it_is_there() -> None:
    native, python = sealyard.FORMS

    assert reference([native, python]) == native
    assert reference([python]) == python
