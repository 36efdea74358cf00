"""Join the chunks' tables and sort them by run and event."""

import csv
from pathlib import Path

from joblog import log_to

log_to(snakemake.log[0])

table: list[dict[str, str]] = []
for name in snakemake.input:
    with Path(name).open(newline="") as file:
        table += csv.DictReader(file)
table.sort(key=lambda row: (int(row["run"]), int(row["event"])))

with Path(snakemake.output[0]).open("w", newline="") as file:
    writer = csv.DictWriter(file, ["run", "event", "mass_gev"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
print(f"{len(table)} events from {len(snakemake.input)} chunks")
