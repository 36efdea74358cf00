from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("iminuit")

SCRIPTS = Path(__file__).parents[2] / "example_workflow" / "workflow" / "scripts"


@pytest.fixture
def dimuon(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    monkeypatch.delitem(sys.modules, "dimuon", raising=False)
    import dimuon

    return dimuon


@pytest.fixture
def lineshape(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    monkeypatch.delitem(sys.modules, "lineshape", raising=False)
    import lineshape

    return lineshape


def rows(**changed: list[object]) -> dict[str, object]:
    columns: dict[str, list[object]] = {
        "Type": ["TT", "TT", "GG", "TT"],
        "Run": [1, 1, 1, 1],
        "Event": [7, 7, 8, 9],
        "pt1": [30.0, 40.0, 40.0, 40.0],
        "pt2": [30.0, 30.0, 30.0, 30.0],
        "eta1": [0.0, 0.0, 0.0, 0.0],
        "eta2": [0.0, 0.0, 0.0, 0.0],
        "Q1": [1, 1, 1, -1],
        "Q2": [-1, -1, -1, 1],
        "M": [91.0, 85.0, 91.0, 92.0],
    }
    return {name: np.array(values) for name, values in (columns | changed).items()}


def test_one_pair_per_event_the_hardest(dimuon: ModuleType) -> None:
    chosen, cutflow = dimuon.select(rows(), muons="TT", pt_min=20, eta_max=2.4)

    assert chosen.tolist() == [1, 3]
    assert list(cutflow.values()) == [4, 3, 3, 3, 3, 2]


@pytest.mark.parametrize(
    "changed",
    [{"Q2": [-1, -1, -1, -1]}, {"pt2": [30, 30, 30, 19]}, {"eta1": [0, 0, 0, -2.5]}],
    ids=["charge", "pt", "eta"],
)
def test_cuts_drop_the_last_pair(dimuon: ModuleType, changed: dict[str, list[object]]) -> None:
    chosen, _ = dimuon.select(rows(**changed), muons="TT", pt_min=20, eta_max=2.4)

    assert chosen.tolist() == [1]


def test_same_event_number_in_another_run_is_another_event(dimuon: ModuleType) -> None:
    assert dimuon.event_starts(rows(Run=[1, 2, 2, 2])).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("slope", [-0.05, 0.0, 0.05])
def test_densities_are_normalised(lineshape: ModuleType, slope: float) -> None:
    m = np.linspace(60, 120, 20001)

    assert np.trapezoid(lineshape.background(m, slope, 60, 120), m) == pytest.approx(1, abs=1e-6)
    peak = lineshape.signal(m, 91.19, 2.4955, 1.5, 60, 120)
    assert np.trapezoid(peak, m) == pytest.approx(1, abs=1e-4)


def test_smearing_keeps_the_peak_and_widens_it(lineshape: ModuleType) -> None:
    m = np.linspace(80, 100, 4001)
    narrow = lineshape.signal(m, 91.19, 2.4955, 0.1, 60, 120)
    wide = lineshape.signal(m, 91.19, 2.4955, 2.0, 60, 120)

    # The relativistic peak lies 0.02 GeV off the pole mass; a Gaussian moves it a little more.
    assert m[narrow.argmax()] == pytest.approx(91.19, abs=0.05)
    assert m[wide.argmax()] == pytest.approx(91.19, abs=0.1)
    widths = [np.ptp(m[line > line.max() / 2]) for line in (narrow, wide)]
    assert widths[0] == pytest.approx(2.5, abs=0.1)
    assert widths[1] > 4.5


def test_expected_counts_add_up(lineshape: ModuleType) -> None:
    counts = lineshape.expected_counts(
        np.linspace(60, 120, 31),
        n_signal=450,
        n_background=50,
        mass=91.0,
        width=2.4955,
        resolution=1.5,
        slope=0.05,
    )

    assert counts.sum() == pytest.approx(500, abs=0.1)
    assert lineshape.poisson_chi2(counts, counts) == pytest.approx(0, abs=1e-9)
    assert lineshape.poisson_chi2(np.zeros(30), counts) == pytest.approx(2 * counts.sum())


def test_fit_finds_the_mass_of_the_cms_events(dimuon: ModuleType, lineshape: ModuleType) -> None:
    uproot = pytest.importorskip("uproot")
    testdata = pytest.importorskip("skhep_testdata")
    with uproot.open(testdata.data_path("uproot-Zmumu.root")) as file:
        data = file["events"].arrays(dimuon.COLUMNS, library="np")
    chosen, _ = dimuon.select(data, muons="TT", pt_min=20, eta_max=2.4)
    masses = data["M"][chosen]

    minuit = lineshape.fit(masses, 60, 120, 2.4955)

    assert len(masses) == 500
    assert minuit.valid
    assert minuit.values["mass"] == pytest.approx(90.77, abs=0.03)
    assert minuit.errors["mass"] == pytest.approx(0.136, abs=0.01)
