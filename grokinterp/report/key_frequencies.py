"""Key frequencies in the report: what they hold, what they are worth, and their evidence."""

from __future__ import annotations

from typing import Any

from grokinterp.circuits import KeyFrequencies
from grokinterp.circuits.key_frequencies import MIN_SHARE, MIN_SIMILARITY, NULL_QUANTILE
from grokinterp.figures.spectrum import Spectrum, spectrum_of
from grokinterp.report.page import paragraph
from grokinterp.report.text import escape, is_missing, show_percent, show_value, table
from grokinterp.trajectory.analysis import Analysis

_N_RUNNERS_UP = 3
_ALMOST_ALL = 0.9


def level_of_chance(keys: KeyFrequencies) -> str:
    """What the second line of the default rule is, in words."""
    number = f"{keys.n_permutations:,} " if keys.n_permutations else ""
    percent = f"{100 * NULL_QUANTILE:g}%"
    return f"the level that {percent} of {number}random groupings of the pairs stay below"


def what_keys_hold(analysis: Analysis) -> list[str]:
    """A paragraph on how much of the logits lies along them; nothing without numbers."""
    if not analysis.key_frequencies.frequencies:
        return []
    said = [*_power(analysis), *_variance(analysis), *_losses(analysis)]
    said += [f"{caveat[0].upper()}{caveat[1:]}." for caveat in analysis.key_frequencies.caveats]
    return [paragraph(" ".join(said))] if said else []


def _is_addition(analysis: Analysis) -> bool:
    return analysis.run.task.operation.name == "addition"


def _power(analysis: Analysis) -> list[str]:
    evidence = analysis.key_frequencies.evidence
    if evidence is None or not {"logit_power_share", "is_key"} <= set(evidence):
        return []
    rows = evidence.to_dict("records")
    shares = [float(row["logit_power_share"]) for row in rows if row["is_key"]]
    share = sum(shares)
    if not shares or is_missing(share):
        return []
    spectrum = spectrum_of(analysis)
    same = "a + b" if _is_addition(analysis) else "answer"
    what = "waves" if spectrum.noun == "frequency" else "matrix elements"
    waves, held = f"{what} of these {spectrum.plural}", show_percent(share)
    how = (
        f"consist almost entirely of {waves}, which hold {held} of their power."
        if share >= _ALMOST_ALL
        else f"have {held} of their power in {waves}."
    )
    return [f"Averaged over the pairs with the same {same}, the logits {how}"]


def _variance(analysis: Analysis) -> list[str]:
    trajectory, name = analysis.trajectory, "fraction_logit_variance_explained"
    if name not in trajectory or analysis.run.task.has_representations:
        return []
    by_step = dict(zip(trajectory["step"].tolist(), trajectory[name].tolist(), strict=True))
    fraction = by_step.get(analysis.key_frequencies.step)
    if is_missing(fraction):
        return []
    explained = f"explain {show_percent(fraction)} of the variance of the logits."
    if not _is_addition(analysis):
        return [f"The sums of cosines of the key frequencies {explained}"]
    wave = f"cos(2πk(a+b−c)/{analysis.key_frequencies.order})"
    return [
        f"A wave {wave} is largest at c = a + b; such waves of all key frequencies together "
        f"{explained}"
    ]


def _losses(analysis: Analysis) -> list[str]:
    loss: dict[str, Any] = {
        row["component"]: row["loss_all"]
        for row in analysis.ablations.to_dict(orient="records")
        if row["intervention"] in ("none", "removed from logits") and "loss_all" in row
    }
    parts = ("trigonometric_circuit", "memorization_circuit", "full")
    if any(is_missing(loss.get(part)) for part in parts):
        return []
    without, alone, whole = (show_value(loss[part]) for part in parts)
    return [
        f"The loss on all pairs is {whole} for the whole network, {alone} with their part of the "
        f"logits alone, and {without} without that part."
    ]


def keys_of_the_publication(keys: KeyFrequencies) -> list[str]:
    """A paragraph on which representations the published rule takes; nothing without evidence."""
    evidence = keys.evidence
    if evidence is None or "is_key_published" not in evidence:
        return []
    names = evidence.loc[evidence["is_key_published"], "representation"].tolist()
    found = "the same" if set(names) == set(keys.names or ()) else escape(", ".join(names))
    return [
        paragraph(
            "By the rule of Chughtai et al. (2023), a character similarity above "
            f"{MIN_SIMILARITY:g}, the key representations are {found if names else 'none'}."
        )
    ]


def evidence_table(spectrum: Spectrum, keys: KeyFrequencies) -> str:
    """The key components and the strongest others, with every column of the evidence."""
    evidence = keys.evidence
    if evidence is None:
        return ""
    rows_of_keys = [row for row in evidence.to_dict("records") if row["is_key"]]
    others = [row for row in evidence.to_dict("records") if not row["is_key"]]
    others.sort(key=lambda row: -row.get("logit_power_share", 0.0))
    columns = {
        "dimension": ("dimension", show_value),
        "type": ("type", escape),
        "character_similarity": ("character similarity", show_value),
        "logit_power_share": ("share of logit power", show_percent),
        "null_share": ("permuted pairs, 99.9%", show_percent),
        "embedding_norm": ("embedding norm", show_value),
        "n_neurons": ("neurons", show_value),
        "W_L_norm": ("W_L norm", show_value),
        "double_of": ("double of", show_value),
        "is_key_published": (
            f"similarity above {MIN_SIMILARITY:g}",
            lambda is_key: "yes" if is_key else "no",
        ),
    }
    present = {name: how for name, how in columns.items() if name in evidence}
    rows = []
    for row in [*rows_of_keys, *others[:_N_RUNNERS_UP]]:
        cells = [show(row[name]) for name, (_, show) in present.items()]
        rows.append((escape(row[spectrum.noun]), _mark(row, keys.rule), *cells))
    header = (spectrum.noun, "key", *(title for title, _ in present.values()))
    plural, strongest = spectrum.plural, f"the {_N_RUNNERS_UP} strongest"
    is_any_key = len(rows_of_keys) > 0
    caption = f"Key {plural} and {strongest} others" if is_any_key else f"All {plural}: {strongest}"
    if not others:
        caption = f"Key {plural}: all that exist"
    return table(header, rows, caption=caption, n_text=2)


def _mark(row: dict[Any, Any], rule: str) -> str:
    """Whether a component is key; one that only the threshold leaves out says so."""
    if row["is_key"]:
        return '<span class="key">key</span>'
    share, chance = row.get("logit_power_share"), row.get("null_share")
    if rule != "logit_power" or share is None or chance is None:
        return "no"
    return f"above chance, below {MIN_SHARE:.1%}" if chance < share <= MIN_SHARE else "no"
