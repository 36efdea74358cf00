"""Draw the mass spectrum, the fit and the pulls."""

import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
from joblog import log_to
from lineshape import background, expected_counts, read_masses, signal

log_to(snakemake.log[0])

mpl.use("agg")
mpl.rcParams |= {
    "font.size": 13,
    "axes.linewidth": 1.1,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.minor.visible": True,
    "ytick.minor.visible": True,
    "legend.frameon": False,
}
from matplotlib import pyplot as plt  # noqa: E402  (after the choice of the backend)

FIT, BACKGROUND = "#c8102e", "#5b8db8"

fit = json.loads(Path(snakemake.input.fit).read_text())
low, high = fit["range_gev"]
names = ("n_signal", "n_background", "mass", "width", "resolution", "slope")
best = {name: fit[name]["value"] for name in names}
masses = read_masses(snakemake.input.masses, low, high)

edges = np.linspace(low, high, fit["bins"] + 1)
centres, step = (edges[:-1] + edges[1:]) / 2, edges[1] - edges[0]
counts = np.histogram(masses, edges)[0]
expected = expected_counts(edges, **best)
# Errors of the expectation, so that empty bins have a pull too.
pulls = (counts - expected) / np.sqrt(expected)

m = np.linspace(low, high, 1201)
below = step * best["n_background"] * background(m, best["slope"], low, high)
shape = signal(m, best["mass"], best["width"], best["resolution"], low, high)
total = below + step * best["n_signal"] * shape

figure, (main, lower) = plt.subplots(
    2,
    1,
    sharex=True,
    figsize=(10, 6.25),
    height_ratios=(3.4, 1),
    gridspec_kw={"hspace": 0.06, "left": 0.085, "right": 0.975, "top": 0.93, "bottom": 0.115},
)

area = main.fill_between(m, below, color=BACKGROUND, alpha=0.4, linewidth=0)
(background_line,) = main.plot(m, below, color=BACKGROUND, linestyle="--", linewidth=1.6)
(fit_line,) = main.plot(m, total, color=FIT, linewidth=2.2)
seen = counts > 0
points = main.errorbar(
    centres[seen],
    counts[seen],
    xerr=step / 2,
    yerr=np.sqrt(counts[seen]),
    fmt="o",
    color="black",
    markersize=5,
    elinewidth=1.2,
)
main.set_ylim(0, 1.15 * (counts + np.sqrt(counts)).max())
main.set_ylabel(f"Events / {step:g} GeV", loc="top")
main.legend(
    [points, fit_line, (area, background_line)],
    [f"Data, {fit['events']} events", "Breit-Wigner ⊗ Gauss + background", "Background"],
    loc="upper left",
)
main.text(
    0.97,
    0.945,
    f"$m_Z$ = {best['mass']:.2f} ± {fit['mass']['error']:.2f} GeV",
    transform=main.transAxes,
    ha="right",
    va="top",
    fontsize=17,
    color=FIT,
)
main.text(
    0.97,
    0.83,
    f"$\\sigma$ = {best['resolution']:.2f} ± {fit['resolution']['error']:.2f} GeV\n"
    f"$\\Gamma_Z$ = {best['width']:.4f} GeV (fixed)\n"
    f"$\\chi^2$ / ndf = {fit['chi2']:.1f} / {fit['ndf']}",
    transform=main.transAxes,
    ha="right",
    va="top",
    linespacing=1.6,
)
main.set_title("CMS dimuon events", loc="left", fontsize=14, fontweight="bold")
source = f"scikit-hep-testdata: {snakemake.params.dataset}"
main.set_title(source, loc="right", fontsize=11, color="0.35")

for level in (-2, 2):
    lower.axhline(level, color="0.75", linewidth=0.8, linestyle=":")
lower.axhline(0, color=FIT, linewidth=1.4)
lower.errorbar(centres, pulls, yerr=1, fmt="o", color="black", markersize=4, elinewidth=1.1)
lower.set_ylim(-4, 4)
lower.set_yticks((-2, 0, 2))
lower.set_ylabel("Pull")
lower.set_xlabel(r"$m(\mu^+\mu^-)$ [GeV]", loc="right")
lower.set_xlim(low, high)
figure.align_ylabels()

figure.savefig(snakemake.output.png, dpi=160)
# No date in the file, so the same data always give the same bytes.
figure.savefig(snakemake.output.pdf, metadata={"CreationDate": None})
print(f"{len(masses)} events drawn")
