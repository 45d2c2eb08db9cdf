"""The bank made: trained by the machinery of sweeps, and measured where it was trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from grokinterp.experiments.claims import Findings
from grokinterp.experiments.experiment import Experiment, PlannedRun
from grokinterp.experiments.sweep import Sweep, run_sweep
from grokinterp.fields import Number
from grokinterp.leagues.bank import SMALL_P, Kind, planned_settings
from grokinterp.models import ModelSpec
from grokinterp.tasks import TaskSpec

if TYPE_CHECKING:
    from grokinterp.runs.run import Run

TRAJECTORY_FILE = "league.npz"
"""In the folder of a run of a bank: its measures along the way."""


def planned_bank(is_small: bool = False, kind: Kind | None = None) -> list[PlannedRun]:
    """Plan the runs of the bank, or those of one kind."""
    return [
        PlannedRun(
            setting.with_seed(seed),
            {"setting": setting.name, "kind": setting.kind, "seed": seed},
        )
        for setting, seed in planned_settings(is_small)
        if kind is None or setting.kind == kind
    ]


def measure_beside(run: Run, planned: PlannedRun) -> Mapping[str, Number]:
    """Write the measures of a run into its folder; its row says at how many checkpoints."""
    from grokinterp.leagues.baselines import BASELINES
    from grokinterp.leagues.measuring import measure_along, write_trajectory
    from grokinterp.measures import MEASURES

    trajectory = measure_along(run, (*MEASURES, *BASELINES))
    assert run.folder is not None
    write_trajectory(trajectory, run.folder / TRAJECTORY_FILE)
    return {"n_measured": len(trajectory)}


BANK = Experiment(
    name="bank",
    docstring=__doc__ or "",
    paper="",
    claim="",
    minutes_quick=10,
    minutes_full=60,
    plan=lambda scale: planned_bank(scale.is_quick),
    judge=lambda table, scale: Findings(()),
    observe=measure_beside,
)


def make_bank(
    folder: str | Path,
    *,
    is_small: bool = False,
    kind: Kind | None = None,
    n_jobs: int | None = None,
    progress: bool = True,
) -> Sweep:
    """Train and measure the bank into a folder, or go on where that was stopped.

    Parameters
    ----------
    folder
        Where the run folders lie; beside them ``bank.csv``, a row for each run.
    is_small
        20 + 20 runs instead of all.
    kind
        Only the runs of this kind.
    n_jobs
        Processes; None for one per processor.
    progress
        Show a progress bar.

    Returns
    -------
    Sweep
        The table of runs, and which failed.
    """
    folder = Path(folder)
    planned = planned_bank(is_small, kind)
    sweep = None
    for stage in _stages(planned):
        sweep = run_sweep(
            stage,
            folder,
            experiment=BANK,
            n_jobs=n_jobs,
            table_file=folder / "bank.csv",
            progress=progress,
        )
    assert sweep is not None
    return sweep


def _stages(planned: list[PlannedRun]) -> list[list[PlannedRun]]:
    """Order the runs so that a bank that was stopped has some of every kind; each adds a few.

    Small moduli come first, of these one seed after the other, and of these the perceptrons. A
    later stage names the runs of the earlier ones again, which are done, so that its table has all.
    """

    def stage_of(one: PlannedRun) -> tuple[bool, int, bool]:
        task, model = one.config.task, one.config.model
        is_large = isinstance(task, TaskSpec) and task.p > SMALL_P
        return is_large, int(one.labels["seed"]), isinstance(model, ModelSpec)

    stages = sorted({stage_of(one) for one in planned})
    return [[one for one in planned if stage_of(one) <= stage] for stage in stages]
