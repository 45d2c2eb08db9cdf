"""Cards of results: an analysis, a comparison of runs, a question of the literature."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grokinterp.cards.markup import Card
from grokinterp.cards.runs import losses_of, warnings_of
from grokinterp.reprs import MOST_LISTED, listed

if TYPE_CHECKING:
    from grokinterp.comparison import Comparison
    from grokinterp.experiments.reproduction import Reproduction
    from grokinterp.trajectory.analysis import Analysis

MOST_ROWS = 6
"""Runs or claims that a card lists before it says how many more there are."""


def analysis_card(analysis: Analysis) -> Card:
    """Outcome, steps, key frequencies and algorithm, with both losses."""
    run, keys, found = analysis.run, analysis.key_frequencies, analysis.algorithm
    curves = run.curves if _has_losses(analysis) else analysis.trajectory
    noun = "key frequencies" if keys.names is None else "key representations"
    return Card(
        title=f"Analysis of {run.task.spec.in_words}",
        warnings={**warnings_of(run), "Before you believe it": "; ".join(keys.caveats) or None},
        rows={
            "outcome": _outcome(analysis),
            "phases": _phases(analysis),
            noun: listed(keys.labels)
            if keys.labels
            else f"none: {'the reading is in doubt' if run.doubts else keys.reason}",
            "algorithm": f"{found.verdict}: {found.reason}" if found and not run.doubts else None,
            "checkpoints": f"{len(analysis.trajectory):,}, the last at step {run.last_step:,}",
            "left out": listed(analysis.failures) or None,
        },
        pictures=[losses_of(curves, analysis.milestones)],
        calls={
            "analysis.plot()": "draws the losses, with the circuit's where there is one",
            'gi.write_report(analysis, "report.html")': "writes all figures and numbers",
            "analysis.trajectory": "has every measure by step",
        },
    )


def _outcome(analysis: Analysis) -> str | None:
    if analysis.run.doubts:
        return "none, while the reading is in doubt"
    # That it diverged stands above everything else already.
    return None if analysis.run.diverged_at is not None else analysis.milestones.outcome


def _has_losses(analysis: Analysis) -> bool:
    curves = analysis.run.curves
    return any(
        name in curves and curves[name].notna().any() for name in ("train_loss", "test_loss")
    )


def _phases(analysis: Analysis) -> str | None:
    spans = analysis.phases.as_dict()
    known = [
        f"{name.replace('_', ' ')} {span[0]:,} to {span[1]:,}"
        for name, span in spans.items()
        if span
    ]
    return "steps of " + ", ".join(known) if known else None


def comparison_card(compared: Comparison) -> Card:
    """How many runs generalized, and a row for each of the first."""
    steps = compared.table["grokking_step"].tolist()
    kinds = compared.table["outcome_kind"].tolist()
    rows = {}
    for label, kind, step in list(zip(compared.labels, kinds, steps, strict=True))[:MOST_ROWS]:
        # A step that does not exist is NA, which equals nothing.
        at = f", at step {step:,}" if isinstance(step, int) else ""
        rows[label] = f"{str(kind or 'no outcome').replace('_', ' ')}{at}"
    n = len(compared.analyses)
    if n > MOST_ROWS:
        rows["..."] = f"and {n - MOST_ROWS} more"
    in_doubt = [
        label
        for label, one in zip(compared.labels, compared.analyses, strict=True)
        if one.run.doubts
    ]
    came = f"{compared.n_generalized} generalized, {compared.n_censored} not by their last step"
    return Card(
        title=f"Comparison of {n} runs: {came}",
        warnings={"In doubt": listed(in_doubt) or None},
        rows={"settings": listed(compared.settings.of_setting) or None, **rows},
        calls={
            "comparison.table": "has a row for each run",
            'gi.write_report(comparison, "comparison.html")': "lays them over each other",
            "gi.figures.plot_compared_losses(comparison.analyses)": "draws their losses",
        },
    )


def reproduction_card(result: Reproduction) -> Card:
    """The verdict on a question, and on each of its claims."""
    claims = result.findings.claims
    rows = {one.name: f"{one.verdict}: {one.sentence}" for one in claims[:MOST_LISTED]}
    if len(claims) > MOST_LISTED:
        rows["..."] = f"and {len(claims) - MOST_LISTED} more claims"
    failed = [f"{one.run} ({one.reason})" for one in result.failures]
    return Card(
        title=f"Reproduction of {result.experiment.name} ({result.scale.name}): {result.verdict}",
        warnings={"Runs that failed": listed(failed, most=3) or None},
        rows={
            "claim": result.experiment.claim,
            **rows,
            "runs": f"{len(result.table):,}, {result.n_censored} censored",
            "folder": str(result.folder),
            "again": result.command,
        },
        calls={
            'gi.write_report(result, "report.html")': "writes its report",
            "result.table": "has a row for each run",
        },
    )
