from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tools.bench import pages, parts, plots, report, results, targets
from tools.bench.cases import CASES, KNOWN, OBVIOUS
from tools.bench.load import Sample
from tools.bench.peers import PEERS, sealyard
from tools.bench.results import Bulk, Cell, Curve, Idle, Point, Results, Step, Weight
from tools.bench.timing import Timing


def _samples(rate: float) -> list[Sample]:
    return [Sample(rate / 2, rate * turn, 1e6 / rate, 2e6 / rate, 60.0) for turn in (1, 2, 3)]


def some_results(ours: float = 24_000.0, python: float = 12_000.0) -> Results:
    """Return results in which every peer does 4,000 requests a CPU second, and Sealyard `ours`."""
    rates = dict.fromkeys(sealyard.OURS, ours)
    rates |= {sealyard.PYTHON: python, sealyard.UNLOGGED: ours * 1.05}
    cells = [
        Cell(
            peer.name,
            case.name,
            work,
            _samples(rates.get(peer.name, 4_000.0)),
            [] if peer.name == case.variant(sealyard.NAME) else _samples(ours),
        )
        for case in CASES
        for peer in PEERS
        if (work := case.work_of(peer))
    ]
    curves = [
        Curve(
            name, name.title(), f"many {name}", [Point(1, [40.0, 41.0]), Point(100, [44.0, 43.0])]
        )
        for name in ("fields", "bodies", "rules")
    ]
    about = ("date", "commit", "processor", "cores", "system", "rounds", "minutes", "load")
    return Results(
        {peer.name: "1.0" for peer in PEERS},
        {"another": "it was not there"},
        {name: dict.fromkeys(about, "1") for name in parts.NAMES},
        cells,
        [Cell("1 worker", "workers", "seal", _samples(8_000.0))],
        curves,
        [Weight(sealyard.NAME, [0.4, 0.5], [58.0], [70.0])],
        [Idle(sealyard.REDIS, 60, 61.0, 55.0)],
        [Step("find", 20.0, Timing(10.0, 9.0, 30.0))],
        [Bulk(16, "up", [300.0, 310.0], [500.0, 520.0], [1.0, 2.0])],
        {sealyard.NAME: {"seal": 4.0}, sealyard.PYTHON: {"seal": 5.0, "plan": 9.0}},
    )


def _verdicts(found: Results) -> dict[str, bool | None]:
    return {target.text: target.met for target in targets.targets(found)}


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    some_results().write(path)

    assert results.read(path) == some_results()


@pytest.mark.parametrize(("ours", "met"), [(17_900.0, False), (18_000.0, True)])
def test_a_target_is_met_from_its_limit_on(ours: float, met: bool) -> None:  # noqa: FBT001 - a parameter
    text = "`seal`: 4.5 times obvious aiohttp"

    assert _verdicts(some_results(ours))[text] is met


def test_a_target_whose_peer_was_absent_is_not_judged() -> None:
    found = some_results()
    found.cells[:] = [cell for cell in found.cells if cell.peer != "Envoy"]

    assert _verdicts(found)["`pass`: 2.1 times Envoy"] is None


@pytest.mark.parametrize(("python", "met"), [(3_900.0, False), (4_000.0, True)])
def test_one_case_that_is_slower_than_the_obvious_proxy_misses(python: float, met: bool) -> None:  # noqa: FBT001 - a parameter
    found = some_results()
    (slow,) = (c for c in found.cells if (c.peer, c.case) == (sealyard.PYTHON, "events"))
    slow.samples[:] = _samples(python)

    assert _verdicts(found)["in Python only, no case slower than obvious aiohttp"] is met


def test_a_ratio_is_that_of_each_peer_and_what_ran_right_after_it() -> None:
    cell = Cell("slow", "seal", "seal", _samples(100), [*_samples(200)[:2], *_samples(300)[2:]])

    assert cell.ratio == (2.0, 2.0, 3.0)


@pytest.mark.parametrize(("last", "met"), [(4_300.0, True), (4_600.0, False)])
def test_a_cost_must_not_grow_faster_than_what_grows(last: float, met: bool) -> None:  # noqa: FBT001 - a parameter
    found = some_results()
    found.curves[0].points[1].costs[:] = [last]

    assert _verdicts(found)["fields: the cost grows no faster than their number"] is met


def test_what_was_not_measured_is_not_judged() -> None:
    found = some_results()
    found.curves.clear()
    found.weights.clear()

    assert None in _verdicts(found).values()
    assert "## As things grow" not in report.measured(found)


@pytest.mark.parametrize(("load", "met"), [("2.0", True), ("2.1", None)])
def test_a_time_is_not_judged_that_was_measured_on_a_busy_machine(
    load: str,
    met: bool | None,  # noqa: FBT001 - a parameter
) -> None:
    found = some_results()
    found.runs["seal-1"]["load"] = load

    text = "`seal-1`: p50 60 µs above nginx only passing through"
    assert _verdicts(found)[text] is met


def test_a_first_message_is_compared_with_the_next_ones_of_the_same_round() -> None:
    found = some_results()
    found.cells.append(
        Cell(KNOWN, "redis-new-1", "chat", [Sample(1, 1, 900, 0, 0)], [Sample(1, 1, 2400, 0, 0)])
    )

    (first,) = (one for one in targets.targets(found) if one.text.startswith("first message"))
    assert (first.figure, first.met) == ("1.5 ms (1.5 to 1.5)", True)


def test_a_later_run_replaces_what_it_measured_and_leaves_the_rest() -> None:
    before, again = some_results(), some_results(48_000.0)
    again.cells[:] = [cell for cell in again.cells if cell.case == "chat"]
    for part in (again.workers, again.curves, again.weights, again.idle, again.steps):
        part.clear()
    later = Results(
        {"Envoy": "2.0"}, {}, {"chat": dict.fromkeys(before.runs["chat"], "2")}, again.cells
    )

    both = before.then(later)

    assert both.cell(sealyard.NAME, "chat") == again.cell(sealyard.NAME, "chat")
    assert both.cell(sealyard.NAME, "seal") == before.cell(sealyard.NAME, "seal")
    assert (both.runs["chat"]["commit"], both.runs["seal"]["commit"]) == ("2", "1")
    assert len(both.cells) == len(before.cells)
    assert (both.curves, both.idle, both.steps) == (before.curves, before.idle, before.steps)
    assert both.versions == before.versions | {"Envoy": "2.0"}
    assert len(list(report.runs(both))) == 2


def test_the_worst_case_next_to_the_obvious_proxy_comes_first() -> None:
    found = some_results()
    (slow,) = (c for c in found.cells if (c.peer, c.case) == (OBVIOUS, "all-new"))
    slow.samples[:] = _samples(90_000.0)

    assert targets.lowest_first(found)[0].name == "all-new"
    goals = [one.text for one in targets.targets(found) if one.text.startswith("`")]
    assert goals[0] == "`all-new`: 1.3 times obvious aiohttp"
    first = next(line for line in report.measured(found).splitlines() if line.startswith("### "))
    assert first.startswith("### `all-new`: ")


def test_only_the_measured_part_of_the_page_changes() -> None:
    before = f"head\n{report.BEGIN}\nold\n{report.END}\nfoot\n"
    page = report.page(some_results(), before)

    assert page.startswith(f"head\n{report.BEGIN}\n")
    assert page.endswith(f"{report.END}\nfoot\n")
    assert "\nold\n" not in page
    assert page == report.page(some_results(), page)


def test_every_measured_peer_stands_in_the_tables() -> None:
    page = report.measured(some_results())

    assert all(f"| {cell.peer}" in page for cell in some_results().cells)


def test_the_pages_and_plots_show_the_record_that_is_kept() -> None:
    for path, text in pages.rendered(results.read(pages.FOUND)).items():
        assert path.read_text() == text, path


@pytest.mark.parametrize("plot", [plots.throughput, plots.growth])
def test_a_plot_is_one_svg(plot: plots.Plot) -> None:
    root = ET.fromstring(plot(some_results()))  # noqa: S314 - our own

    assert root.tag == "{http://www.w3.org/2000/svg}svg"
