"""Write docs/parts.md: which measure, table and figure works on which kind of network.

PYTHONPATH=. python docs/scripts/parts_table.py write
PYTHONPATH=. python docs/scripts/parts_table.py check

The rows come from the catalogues of measures and figures, the columns from the runs of
tests/kinds.py, which a test also analyzes. ``check`` says whether the page is up to date.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import grokinterp as gi
from grokinterp.figures.drawn import FIELDS_OF_FIGURES
from grokinterp.measures.needs import NEEDS
from grokinterp.models.network_parts import PARTS, PartName
from grokinterp.trajectory.needed_parts import needed_parts
from tests.kinds import KINDS

PAGE = Path(__file__).resolve().parents[1] / "parts.md"
Missing = Mapping[str, Mapping[PartName, str]]
"""By kind of network: why a part is not there."""

PARTS_OF_VERDICT: tuple[PartName, ...] = ("operands", "same_coordinates", "way_from_operands")

HEAD = """# Which measure works on which network

Logits are always there. Everything else is a *part* that a network may have, and every measure,
table and figure names the parts that it needs. What a network has no part for is absent: no column,
no row, no figure. The reason stands under its name in `reasons` of `summary.json` and under *What
could not be computed* in the report; `run.missing_parts` has the reasons by part.

```python
print(run.missing_parts)
print(gi.analyze_run(run).reasons)
```

A part is not all that a measure can need. [How to choose a measure](measures.md) says which of them
need key frequencies, a split that is known, or a certain kind of task.

This page is made by `docs/scripts/parts_table.py`. A test runs every kind of network and checks
that what is marked here comes out, and nothing else.
"""
ON_TABLES = """Of `by_frequency.csv` and `neurons.csv` columns, of `circuit.csv` stages, of
`ablations.csv` places. `evidence` is the evidence for key frequencies in `summary.json`, and
`algorithm` the verdict between clock and pizza; without it the report shows what the logits say of
the two.
"""
ON_MEASURES = """*In part*: of several columns those that need the part in brackets are empty.
"""
ON_FIGURES = """Figures under their names in `gi.figures.FIGURES`. *In part*: the lines or panels
that need the part in brackets are not drawn, the others are.
"""


def cell_of(parts: Sequence[PartName], missing: Mapping[PartName, str]) -> str:
    """Return ``yes``, or ``no`` with the first part that is missing."""
    lacking = [part for part in parts if part in missing]
    return f"no: `{lacking[0]}`" if lacking else "yes"


def cell_of_some(fields: Sequence[str], missing: Mapping[PartName, str]) -> str:
    """Return the same of several fields, or ``in part`` with what is missing for some of them."""
    needed = needed_parts()
    cells = [cell_of(needed[field], missing) for field in fields]
    lacking = [cell for cell in dict.fromkeys(cells) if cell != "yes"]
    if "yes" not in cells:
        return lacking[0]
    parts = ", ".join(cell.removeprefix("no: ") for cell in lacking)
    return f"in part ({parts})" if lacking else "yes"


def rows_of_tables() -> dict[str, tuple[PartName, ...]]:
    """Return the parts that each column, stage or place of the other tables needs."""
    rows: dict[str, tuple[PartName, ...]] = {}
    for field, parts in needed_parts().items():
        table, _, column = field.partition(".")
        if table == "final" or table == "by_representation":
            continue
        name = table if table == "evidence" else f"{table}.csv"
        rows[f"`{name}`" + (f": {column}" if column else "")] = parts
    return rows | {"`algorithm`": PARTS_OF_VERDICT}


def table(first: str, rows: Mapping[str, Sequence[str]], kinds: Sequence[str]) -> str:
    """Markdown of a table with a column for each kind."""
    lines = [f"| {first} | " + " | ".join(kinds) + " |", "|---" * (1 + len(kinds)) + "|"]
    lines += [f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items()]
    return "\n".join(lines)


def page(missing: Missing) -> str:
    """Return the whole page for some kinds of networks."""
    kinds = list(missing)

    def cells(rows: Mapping[str, Sequence[PartName]]) -> dict[str, list[str]]:
        return {name: [cell_of(parts, missing[kind]) for kind in kinds]
                for name, parts in rows.items()}  # fmt: skip

    parts = {
        f"`{part}`: {NEEDS[part]}": ["no" if part in missing[kind] else "yes" for kind in kinds]
        for part in PARTS
    }
    measures = {
        f"`{m.name}`": [
            cell_of_some([f"final.{column}" for column in m.columns], missing[kind])
            for kind in kinds
        ]
        for m in gi.MEASURES
    }
    figures = {
        f"`{name}`": [cell_of_some(fields, missing[kind]) for kind in kinds]
        for name, fields in FIELDS_OF_FIGURES.items()
    }
    reasons = "\n".join(
        f"| {kind} | `{part}` | {reason} |"
        for kind in kinds
        for part, reason in missing[kind].items()
    )
    return "\n".join(
        [
            HEAD,
            "## Parts\n",
            table("part", parts, kinds),
            f"\n## Measures\n\n{ON_MEASURES}",
            table("measure", measures, kinds),
            f"\n## Tables\n\n{ON_TABLES}",
            table("table", cells(rows_of_tables()), kinds),
            f"\n## Figures\n\n{ON_FIGURES}",
            table("figure", figures, kinds),
            "\n## Why a part is missing\n",
            "| network | part | reason |\n|---|---|---|",
            reasons,
            "",
        ]
    )


def missing_by_kind() -> Missing:
    """Return what each kind of network lacks, and why."""
    return {name: make().missing_parts for name, make in KINDS.items()}


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["write", "check"])
    options, made = parser.parse_args(), page(missing_by_kind())
    if options.what == "write":
        PAGE.write_text(made, encoding="utf-8")
        sys.stdout.write(f"wrote {PAGE}\n")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != made:
        sys.exit(f"{PAGE} is not up to date. Run docs/scripts/parts_table.py write.")


if __name__ == "__main__":
    main()
