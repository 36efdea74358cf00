"""Take the data file out of the installed scikit-hep-testdata package."""

import shutil
from pathlib import Path

from joblog import log_to
from skhep_testdata import data_path

log_to(snakemake.log[0])

source = data_path(snakemake.params.dataset)
shutil.copyfile(source, snakemake.output[0])
print(f"{snakemake.params.dataset}: {Path(source).stat().st_size} bytes")
