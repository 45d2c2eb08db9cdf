"""Choosing step size and n beta: the estimates that hold when both are changed, pure.

Rows of a table are cells of a grid of n beta by step size. A plateau is a block of neighboring
cells, two in every direction in which more than one value was tried, that are all usable and
agree. Where several blocks do, the one with the largest n beta counts, since the coefficient is a
limit for large n beta, and then the one that agrees best. Within it the estimate with the smallest
step size has the least bias from steps.
"""

from __future__ import annotations

from itertools import product

import pandas as pd


def find_plateau(table: pd.DataFrame, tolerance: int | float) -> list[int]:
    """Positions of the plateau's rows, that of the chosen estimate first; none without a plateau.

    Parameters
    ----------
    table
        Columns ``n_beta``, ``step_size``, ``estimate``, and ``problem``, which is empty if a cell
        is usable; a full grid.
    tolerance
        Largest difference between the estimates of a plateau, as a fraction of the largest.

    Examples
    --------
    >>> cells = {"n_beta": 1.0, "step_size": [1e-5, 1e-4, 1e-3], "problem": ""}
    >>> find_plateau(pd.DataFrame({**cells, "estimate": [1.0, 2.0, 2.1]}), 0.1)
    [1, 2]
    >>> find_plateau(pd.DataFrame({**cells, "estimate": [1.0, 2.0, 3.0]}), 0.1)
    []
    """
    n_betas, step_sizes = (sorted(set(table[name])) for name in ("n_beta", "step_size"))
    cells_of_table = zip(table["n_beta"], table["step_size"], strict=True)
    row_of = {cell: row for row, cell in enumerate(cells_of_table)}
    found: list[tuple[float, float, list[int]]] = []
    for of_n_beta, of_steps in product(_neighbors(n_betas), _neighbors(step_sizes)):
        rows = [row_of[cell] for cell in product(reversed(of_n_beta), of_steps)]
        cells = table.iloc[rows]
        if (cells["problem"] != "").any():
            continue
        spread = float(1 - cells["estimate"].min() / cells["estimate"].max())
        if spread <= tolerance:
            found.append((-max(of_n_beta), spread, rows))
    return min(found)[2] if found else []


def why_no_plateau(table: pd.DataFrame, tolerance: int | float) -> str:
    """Say what stands in the way: no usable cells, or neighbors that disagree."""
    usable = table[table["problem"] == ""]
    if len(table) == 1:
        return str(table["problem"].iloc[0])
    if usable.empty:
        kinds = table["problem"].value_counts()
        return "none of the settings is usable: " + "; ".join(
            f"{kind} ({count} of {len(table)})" for kind, count in kinds.items()
        )
    low, high = usable["estimate"].min(), usable["estimate"].max()
    between = f"{low:.3g}" if len(usable) == 1 else f"{low:.3g} to {high:.3g}"
    return (
        f"there is no plateau: {len(usable)} of {len(table)} settings are usable, with estimates "
        f"of {between}, and no neighboring ones agree within {tolerance:.0%}"
    )


def _neighbors(values: list[float]) -> list[tuple[float, ...]]:
    """Adjacent pairs of sorted values; the value alone if there is one."""
    return [tuple(values)] if len(values) == 1 else list(zip(values, values[1:], strict=False))
