"""Dimuon candidates as plain arrays: which columns, which event, which candidate.

The file gives each muon's momentum twice, from the global fit (G) and from the tracker alone
(T), and lists every pairing: an event fills four rows or more with nearly the same mass.
Counting them all would fake a smaller uncertainty.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

COLUMNS = ("Type", "Run", "Event", "pt1", "eta1", "Q1", "pt2", "eta2", "Q2", "M")


def event_starts(rows: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
    """Index of the first row of each event; the rows of an event stand together.

    Args:
        rows: Columns of equal length, among them Run and Event.
    """
    run, event = rows["Run"], rows["Event"]
    new = np.ones(len(run), dtype=bool)
    new[1:] = (run[1:] != run[:-1]) | (event[1:] != event[:-1])
    return np.flatnonzero(new)


def select(
    rows: Mapping[str, NDArray[Any]], *, muons: str, pt_min: float, eta_max: float
) -> tuple[NDArray[np.int64], dict[str, int]]:
    """Opposite-charge pairs inside the acceptance, at most one per event.

    Args:
        rows: The columns named in COLUMNS.
        muons: Pair type to keep: GG, GT or TT, by where the two momenta come from.
        pt_min: Smallest transverse momentum of either muon in GeV.
        eta_max: Largest absolute pseudorapidity of either muon.

    Returns:
        Row numbers, and how many rows or events were left after each cut. Among several pairs
        in one event the one with the largest sum of transverse momenta is kept: unlike
        closeness to the Z mass, that does not shape the peak.
    """
    cuts = {
        "all rows": np.ones(len(rows["M"]), dtype=bool),
        f"{muons} pairs": rows["Type"] == muons,
        "opposite charge": rows["Q1"] * rows["Q2"] < 0,
        f"pt > {pt_min:g} GeV": np.minimum(rows["pt1"], rows["pt2"]) > pt_min,
        f"|eta| < {eta_max:g}": np.maximum(abs(rows["eta1"]), abs(rows["eta2"])) < eta_max,
    }
    keep = cuts["all rows"]
    cutflow = {}
    for name, passed in cuts.items():
        keep = keep & passed
        cutflow[name] = int(keep.sum())
    number = np.searchsorted(event_starts(rows), np.arange(len(keep)), side="right")
    order = np.lexsort((-(rows["pt1"] + rows["pt2"]), number))
    order = order[keep[order]]
    _, first = np.unique(number[order], return_index=True)
    chosen = order[first]
    cutflow["one per event"] = len(chosen)
    return chosen, cutflow
