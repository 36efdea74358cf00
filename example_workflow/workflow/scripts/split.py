"""Split the tree into chunks of whole events."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import uproot
from dimuon import COLUMNS, event_starts
from joblog import log_to

log_to(snakemake.log[0])

with uproot.open(snakemake.input[0]) as file:
    rows = file[snakemake.params.tree].arrays(COLUMNS, library="np")
# As plain text, not Python objects: a chunk can then be read without unpickling anything.
rows["Type"] = rows["Type"].astype("U2")

folder = Path(snakemake.output[0])
folder.mkdir(parents=True)
starts = event_starts(rows)
edges = [*starts[:: snakemake.params.events], len(rows["M"])]
for number, (begin, end) in enumerate(pairwise(edges)):
    np.savez(folder / f"{number:03d}.npz", **{name: rows[name][begin:end] for name in COLUMNS})
print(f"{len(rows['M'])} rows, {len(starts)} events, {len(edges) - 1} chunks")
