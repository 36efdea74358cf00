"""Select the muon pairs of one chunk."""

from pathlib import Path

import numpy as np
from dimuon import select
from joblog import log_to

log_to(snakemake.log[0])

with np.load(snakemake.input[0], allow_pickle=False) as file:
    rows = dict(file)
chosen, cutflow = select(rows, **snakemake.params.cuts)
for cut, left in cutflow.items():
    print(f"{cut:>18}: {left}")

with Path(snakemake.output[0]).open("w") as out:
    out.write("run,event,mass_gev\n")
    for i in chosen:
        out.write(f"{rows['Run'][i]},{rows['Event'][i]},{rows['M'][i]:.6f}\n")
