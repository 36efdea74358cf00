"""Fit the Z mass: extended, unbinned maximum likelihood."""

import json
import sys
from pathlib import Path

import numpy as np
from joblog import log_to
from lineshape import expected_counts, fit, poisson_chi2, read_masses

log_to(snakemake.log[0])

low, high = snakemake.params.range
width = snakemake.params.z_width
masses = read_masses(snakemake.input[0], low, high)

minuit = fit(masses, low, high, width)
print(minuit)
if not (minuit.valid and minuit.accurate):
    sys.exit("The fit did not converge: see the table above, and fit: in config/config.yaml.")

bins = round((high - low) / snakemake.params.bin_width)
edges = np.linspace(low, high, bins + 1)
counts = np.histogram(masses, edges)[0].astype(float)
expected = expected_counts(edges, width=width, **minuit.values.to_dict())

result = {p.name: {"value": round(p.value, 5), "error": round(p.error, 5)} for p in minuit.params}
result |= {
    "width": {"value": width, "fixed": True},
    "events": len(masses),
    "range_gev": [low, high],
    "bins": bins,
    "chi2": round(poisson_chi2(counts, expected), 3),
    "ndf": bins - len(minuit.params),
}
Path(snakemake.output[0]).write_text(json.dumps(result, indent=2) + "\n")
