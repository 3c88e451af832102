from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench import plots, report, results, targets
from bench.load import Sample
from bench.peers import PEERS, sealyard
from bench.results import Bulk, Cell, Curve, Point, Results, Step, Weight
from bench.timing import Timing


def _cell(peer: str, work: str, rate: float, connections: int = 16) -> Cell:
    samples = [Sample(rate / 2, rate * turn, 1e6 / rate, 2e6 / rate, 60.0) for turn in (1, 2, 3)]
    return Cell(peer, work, connections, samples)


def some_results(ours: float = 24_000.0) -> Results:
    """Return results in which every peer does 4,000 requests a CPU second, and Sealyard `ours`."""
    rates = {sealyard.NAME: ours, sealyard.UNLOGGED: ours * 1.05}
    cells = [
        _cell(peer.name, work, rates.get(peer.name, 4_000.0), connections)
        for peer in PEERS
        for work, connections in (("pass", 1), ("pass", 16), ("seal", 1), ("seal", 16))
        if work in peer.works
    ]
    curves = [
        Curve(
            name, name.title(), f"many {name}", [Point(1, [40.0, 41.0]), Point(100, [44.0, 43.0])]
        )
        for name in ("fields", "bodies", "rules")
    ]
    return Results(
        dict.fromkeys(("date", "processor", "cores", "system", "rounds", "seconds", "load"), "1"),
        {peer.name: "1.0" for peer in PEERS},
        {"Envoy": "it was not there"},
        cells,
        [_cell("1 worker", "seal", 8_000.0)],
        curves,
        [Weight(sealyard.NAME, [0.4, 0.5], [58.0], [70.0])],
        [Step("find", 20.0, Timing(10.0, 9.0, 30.0))],
        [Bulk(16, "up", [300.0, 310.0], [500.0, 520.0], [1.0, 2.0])],
    )


def _verdicts(found: Results) -> dict[str, bool | None]:
    return {target.text: target.met for target in targets.targets(found)}


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    some_results().write(path)

    assert results.read(path) == some_results()


@pytest.mark.parametrize(("ours", "met"), [(15_900.0, False), (16_000.0, True)])
def test_a_target_is_met_from_its_limit_on(ours: float, met: bool) -> None:  # noqa: FBT001 - a parameter
    text = "4 times the obvious aiohttp proxy with crypto"

    assert _verdicts(some_results(ours))[text] is met


def test_a_target_whose_peer_was_absent_is_not_judged() -> None:
    found = some_results()
    found.cells[:] = [cell for cell in found.cells if cell.peer != "nginx + njs"]

    assert _verdicts(found)["2 times nginx + njs"] is None


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


def test_only_the_measured_part_of_the_page_changes() -> None:
    before = f"head\n{report.BEGIN}\nold\n{report.END}\nfoot\n"
    page = report.page(some_results(), before)

    assert page.startswith(f"head\n{report.BEGIN}\n")
    assert page.endswith(f"{report.END}\nfoot\n")
    assert "\nold\n" not in page
    assert page == report.page(some_results(), page)


def test_every_measured_peer_stands_in_the_tables() -> None:
    page = report.measured(some_results())

    assert all(f"| {cell.peer} |" in page for cell in some_results().cells)


@pytest.mark.parametrize("plot", [plots.throughput, plots.growth])
def test_a_plot_is_one_svg(plot: plots.Plot) -> None:
    root = ET.fromstring(plot(some_results()))  # noqa: S314 - our own

    assert root.tag == "{http://www.w3.org/2000/svg}svg"
