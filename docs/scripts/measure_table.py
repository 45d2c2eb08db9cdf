"""Write the table of measures into docs/measures.md, and measure what each of them costs.

python docs/scripts/measure_table.py write
python docs/scripts/measure_table.py time [--rounds N]

``write`` makes the table from the catalogue and from docs/measure_costs.json. ``time`` trains the
network of the preset `p113` for some hundred steps, measures every number on its last
checkpoint and writes docs/measure_costs.json anew; it takes a minute or two.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import grokinterp as gi
from grokinterp.bibliography import BIBLIOGRAPHY

DOCS = Path(__file__).resolve().parents[1]
PAGE = DOCS / "measures.md"
COSTS = DOCS / "measure_costs.json"
BEGIN, END = "<!-- table of measures: begin -->", "<!-- table of measures: end -->"
N_STEPS = 300
KEYS = (1, 5, 7, 29)
"""Any four: what a measure costs depends on how many there are, not on which."""


def columns_of(measure: gi.Measure) -> str:
    """Return the columns of a measure, as in measures.csv; many of one beginning are cut short."""
    shown = measure.columns
    if len(shown) > 4:
        shown = (*shown[:2], "...", shown[-1])
    return ", ".join(name if name == "..." else f"`{name}`" for name in shown)


_NEEDS: dict[str, str] = {
    "split": "the split",
    "frequencies": "frequencies",
    "group": "a group",
    "representations": "a group that is not cyclic",
    "subgroups": "a group with subgroups",
    "key_frequencies": "key frequencies",
    "commutative_operation": "a commutative operation",
}


def needs(measure: gi.Measure) -> str:
    """Return what a measure cannot do without, as a sentence; nothing if it needs nothing.

    Parts of a network stand under their names, as in docs/parts.md.
    """
    words = [_NEEDS.get(need, f"`{need}`") for need in measure.needs]
    if measure.split_columns and "split" not in measure.needs:
        words.append("the split for some columns")
    wanted = ", ".join(words)
    return f"Needs {wanted}." if wanted else ""


def short(source: str) -> str:
    """Return a source with first author and year in place of authors, title and venue."""
    for paper in BIBLIOGRAPHY.values():
        authors = [name.partition(",")[0] for name in paper.authors]
        who = " and ".join(authors) if len(authors) < 3 else f"{authors[0]} et al."
        number = f", arXiv:{paper.arxiv}" if paper.arxiv else ""
        source = source.replace(paper.reference, f"{who} {paper.year}{number}")
    return source


def table(costs: dict) -> str:
    """Markdown of the table, a row for each measure of the catalogue."""
    lines = [
        "| columns | what it says | when it misleads | ms | source |",
        "|---|---|---|---|---|",
    ]
    for measure in gi.MEASURES:
        cost = costs["ms"].get(measure.name)
        cells = (
            columns_of(measure),
            f"{measure.description} {needs(measure)}".rstrip(),
            measure.misleads,
            "" if cost is None else f"{cost:.3g}",
            short(measure.source),
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def with_table(page: str, costs: dict) -> str:
    """Return the page with its table made anew.

    Raises
    ------
    ValueError
        If the page has no place for it.
    """
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    machine = (
        "Cost: median milliseconds of processor time for one checkpoint at p = 113 beyond its "
        f"forward pass ({costs['forward_ms']:.0f} ms), each measure alone; all of them together, "
        f"which share what they need, take {costs['together_ms']:.0f} ms. {costs['machine']}"
    )
    return f"{before}{BEGIN}\n\n{table(costs)}\n\n{machine}\n\n{END}{after}"


def measured_costs(rounds: int) -> dict:
    """Milliseconds of every measure on one checkpoint at p = 113, and of all together."""
    import torch

    torch.set_num_threads(1)
    config = replace(gi.PRESETS["p113"], n_steps=N_STEPS, checkpoint_every=N_STEPS)
    with tempfile.TemporaryDirectory() as folder:
        run = gi.train(config, Path(folder) / "run", n_threads=1, progress=False)
        elsewhere = {"representations", "subgroups"}
        taken = {m.name: [] for m in gi.MEASURES if not elsewhere & set(m.needs)}
        forward, together = [], []
        for _ in range(rounds):
            for measure in (*gi.MEASURES, None):
                if measure is not None and measure.name not in taken:
                    continue
                start = time.process_time()
                snapshot = gi.take_snapshot(run)
                forward.append(time.process_time() - start)
                keys = gi.KeyFrequencies.given(113, KEYS)
                chosen = gi.MEASURES if measure is None else (measure,)
                start = time.process_time()
                for one in chosen:
                    if one.applies_to(snapshot.task, keys):
                        one.values(snapshot, keys)
                seconds = time.process_time() - start
                (together if measure is None else taken[measure.name]).append(seconds)
    return {
        "machine": (
            f"One thread of a {os.cpu_count()}-core {platform.machine()} cloud machine, torch "
            f"{torch.__version__.split('+')[0]} (CPU), while other work ran on it; median of "
            f"{rounds} rounds."
        ),
        "forward_ms": _ms(forward),
        "together_ms": _ms(together),
        "ms": {name: _ms(seconds) for name, seconds in taken.items()},
    }


def _ms(seconds: list[float]) -> float:
    return float(f"{1000 * statistics.median(seconds):.3g}")


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["write", "time"])
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    if options.what == "time":
        costs = measured_costs(options.rounds)
        COSTS.write_text(json.dumps(costs, indent=2) + "\n", encoding="utf-8")
    costs = json.loads(COSTS.read_text(encoding="utf-8"))
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), costs), encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE}\n")


if __name__ == "__main__":
    main()
