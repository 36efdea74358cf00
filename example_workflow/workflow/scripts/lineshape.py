"""The Z line shape: a Breit-Wigner with detector resolution, on an exponential background.

Everything is in GeV and normalised to one inside the fit range.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from iminuit import Minuit
from iminuit.cost import ExtendedUnbinnedNLL
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Half-width in standard deviations, and number of steps, of the resolution integral. The
# trapezoid rule converges exponentially here: 100 steps are exact to rounding for the Z.
_REACH = 6.0
_STEPS = 101
_GRID = 1201


def read_masses(path: str, low: float, high: float) -> Array:
    """Dimuon masses in GeV inside the fit range, from the merged table.

    Args:
        path: CSV file with the columns run, event, mass_gev.
        low: Lower end of the fit range in GeV.
        high: Upper end of the fit range in GeV.
    """
    masses = np.loadtxt(path, delimiter=",", skiprows=1, usecols=2, ndmin=1)
    return masses[(masses >= low) & (masses < high)]


def breit_wigner(m: Array, mass: float, width: float) -> Array:
    """Relativistic Breit-Wigner in the mass, not normalised.

    Args:
        m: Dimuon masses in GeV.
        mass: Pole mass in GeV.
        width: Natural width in GeV.
    """
    return m**2 / ((m**2 - mass**2) ** 2 + m**4 * width**2 / mass**2)


def _smeared(m: Array, mass: float, width: float, resolution: float) -> Array:
    shift = np.linspace(-_REACH, _REACH, _STEPS)
    weight = np.exp(-0.5 * shift**2)
    line = breit_wigner(m[:, np.newaxis] - resolution * shift, mass, width)
    return np.asarray(line @ (weight / weight.sum()))


def signal(
    m: Array, mass: float, width: float, resolution: float, low: float, high: float
) -> Array:
    """Density in 1/GeV of a Breit-Wigner convolved with a Gaussian.

    Args:
        m: Dimuon masses in GeV.
        mass: Pole mass in GeV.
        width: Natural width in GeV.
        resolution: Standard deviation of the Gaussian in GeV.
        low: Lower end of the fit range in GeV.
        high: Upper end of the fit range in GeV.
    """
    grid = np.linspace(low, high, _GRID)
    area = np.trapezoid(_smeared(grid, mass, width, resolution), grid)
    return _smeared(m, mass, width, resolution) / area


def background(m: Array, slope: float, low: float, high: float) -> Array:
    """Density in 1/GeV of a falling exponential.

    Args:
        m: Dimuon masses in GeV.
        slope: Decay constant in 1/GeV; positive falls, zero is flat.
        low: Lower end of the fit range in GeV.
        high: Upper end of the fit range in GeV.
    """
    span = high - low
    area = span if abs(slope * span) < 1e-9 else -np.expm1(-slope * span) / slope
    return np.exp(-slope * (m - low)) / area


def expected_counts(
    edges: Array,
    *,
    n_signal: float,
    n_background: float,
    mass: float,
    width: float,
    resolution: float,
    slope: float,
) -> Array:
    """Expected events per bin; the fit range is the range of the edges.

    Args:
        edges: Bin edges in GeV.
        n_signal: Signal events in the range.
        n_background: Background events in the range.
        mass: Pole mass in GeV.
        width: Natural width in GeV.
        resolution: Standard deviation of the Gaussian in GeV.
        slope: Decay constant of the background in 1/GeV.
    """
    low, high = float(edges[0]), float(edges[-1])
    fine = 20
    points = np.concatenate([np.linspace(a, b, fine + 1) for a, b in pairwise(edges)])
    density = n_signal * signal(points, mass, width, resolution, low, high)
    density += n_background * background(points, slope, low, high)
    return np.trapezoid(density.reshape(-1, fine + 1), points.reshape(-1, fine + 1), axis=1)


def fit(masses: Array, low: float, high: float, width: float) -> Minuit:
    """Extended, unbinned maximum likelihood fit; Minuit carries values, errors and validity.

    Args:
        masses: Dimuon masses in GeV, all inside the range.
        low: Lower end of the fit range in GeV.
        high: Upper end of the fit range in GeV.
        width: Natural width in GeV, fixed.
    """

    def density(
        m: Array,
        n_signal: float,
        n_background: float,
        mass: float,
        resolution: float,
        slope: float,
    ) -> tuple[float, Array]:
        shape = n_signal * signal(m, mass, width, resolution, low, high)
        shape += n_background * background(m, slope, low, high)
        return n_signal + n_background, shape

    minuit = Minuit(
        ExtendedUnbinnedNLL(masses, density),
        n_signal=0.9 * len(masses),
        n_background=0.1 * len(masses),
        mass=91.0,
        resolution=1.5,
        slope=0.03,
    )
    minuit.limits["n_signal", "n_background"] = (0, None)
    minuit.limits["mass"] = (low, high)
    minuit.limits["resolution"] = (0.05, 6)
    minuit.limits["slope"] = (-0.2, 0.5)
    minuit.migrad()
    minuit.hesse()
    return minuit


def poisson_chi2(counts: Array, expected: Array) -> float:
    """Likelihood-ratio chi-square of a histogram; holds for bins with few events too.

    Args:
        counts: Observed events per bin.
        expected: Expected events per bin, all positive.
    """
    log_ratio = np.log(np.where(counts > 0, counts, 1.0) / expected)
    terms = expected - counts + np.where(counts > 0, counts * log_ratio, 0.0)
    return float(2.0 * terms.sum())
