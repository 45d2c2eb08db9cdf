"""Enter the local learning coefficient into the league: a table of docs/league.md.

``python docs/scripts/league_learning_coefficient.py BANK`` takes the first seed of every
configuration of a bank that ``python -m grokinterp.league make BANK`` trained, and estimates the
coefficient at every measured checkpoint with one setting. It takes about half an hour.
"""

from __future__ import annotations

import math
import sys
import tempfile
from pathlib import Path

from league_page import PAGE, league_table, put

import grokinterp as gi
from grokinterp.leagues.tables import shipped_table

SETTING = {"step_sizes": [3e-4], "localization": 100.0, "n_chains": 2}
N_BURN_IN, N_DRAWS = 15, 20
BESIDE = ("test_loss_over_maximum", "test_loss", "sum_squared_weights", "effective_rank_W_E")
r_hats: list[float] = []


def learning_coefficient(snapshot, key_frequencies):
    """Raw estimate at n beta = n / log n, whether or not the chains have mixed."""
    del key_frequencies
    n = len(snapshot.split.train)
    found = gi.local_learning_coefficient(
        snapshot, n_betas=[n / math.log(n)], n_burn_in=N_BURN_IN, n_draws=N_DRAWS, **SETTING
    )
    r_hats.append(found.r_hat)
    return found.estimate


def main(bank: Path) -> None:
    """Judge it on the first seed of every configuration, beside the baselines on the same runs."""
    runs = shipped_table().runs
    chosen = runs.loc[runs["seed"] == runs["seed"].min(), "run"]
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen:
            Path(folder, name).symlink_to(bank.resolve() / name)
        league = gi.league([learning_coefficient], runs=folder)
    sys.stdout.write(f"{league}\n{league.table.to_string()}\n")
    mixed = sum(r_hat <= 1.1 for r_hat in r_hats) / len(r_hats)
    sys.stdout.write(f"{len(r_hats)} estimates, R-hat at most 1.1 in {mixed:.1%}\n")
    names = [name for name in ("learning_coefficient", *BESIDE) if name in league.table.index]
    page = PAGE.read_text(encoding="utf-8")
    table = league_table(league.table.loc[names]) + "\n"
    PAGE.write_text(put(page, "learning coefficient", table), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
