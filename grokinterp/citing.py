"""What to cite for a result: the software, and the papers that this very result rests on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from importlib import metadata
from typing import Any

from grokinterp.bibliography import BIBLIOGRAPHY, entry, papers_in, unknown_numbers
from grokinterp.errors import ConfigError
from grokinterp.experiments.reproduction import Reproduction
from grokinterp.measures import MEASURES
from grokinterp.runs.config import PRESETS, ImportedConfig, TrainConfig
from grokinterp.runs.run import Run
from grokinterp.tasks import DigitsSpec, PolynomialSpec, TaskSpec
from grokinterp.trajectory.analysis import Analysis

TITLE = "grokinterp: explaining grokking in small networks"
AUTHORS = "The grokinterp authors"
REPOSITORY = "https://github.com/grokinterp/grokinterp"

_POWER = "power2022grokking"
_NANDA = "nanda2023progress"
_ZHONG = "zhong2023clock"
_CHUGHTAI = "chughtai2023toy"
_THILAK = "thilak2022slingshot"
_VARMA = "varma2023explaining"
_LIU = "liu2022omnigrok"
_KUMAR = "kumar2023grokking"
_LEE = "lee2024grokfast"
_TVEIT = "tveit2025muon"
_PRIETO = "prieto2025grokking"
_GROMOV = "gromov2023grokking"
_CHAN = "chan2022causal"
_STANDER = "stander2024grokking"
_MCCRACKEN = "mccracken2025uncovering"

PRESET_SOURCES = {
    "nanda2023": _NANDA,
    "p113": _NANDA,
    "tl_demo": _NANDA,
    "power2022": _POWER,
    "thilak2022": _THILAK,
    "s5": _CHUGHTAI,
    "dihedral": _CHUGHTAI,
    "alternating": _CHUGHTAI,
    "perceptron": _GROMOV,
    "digits": _LIU,
}
"""Keys of the papers whose settings a preset has; ``quick`` is nobody's."""
PRESSURE_SOURCES = {"grokfast": _LEE, "perp_grad": _PRIETO, "clamp_norm": _LIU}
"""Keys of the papers that a pressure was taken from; penalties, noise and dropout are older than
grokking."""


def cite(*results: Any) -> str:
    """BibTeX of the library and of the papers that a result rests on, and of no others.

    For an analysis those are the papers of its task and of its preset, if the config is that of
    one; of the pressures and the loss it was trained with; of the measures that have a column;
    and of the parts that have something to show: key frequencies, tables of the circuit and of
    ablations, the steps of both circuits, the verdict on the algorithm. A run has the papers of
    its training alone; a reproduction that of its question and those of its runs' training.

    Parameters
    ----------
    results
        Analyses, runs and reproductions, or lists of them. None at all: the library.

    Returns
    -------
    str
        One entry for each, the library first, in ASCII. The source of a measure of your own is
        an entry with its arXiv number where the library does not know the paper, or a comment
        where it has no number; fill those in by hand.

    Raises
    ------
    ConfigError
        If something is none of these.

    Examples
    --------
    >>> print(cite().splitlines()[0])
    @misc{grokinterp,
    >>> import grokinterp as gi
    >>> analysis = gi.analyze_run(gi.load_run("ckpts/"))
    >>> print(gi.cite(analysis))
    @misc{grokinterp,
    ...
    @inproceedings{nanda2023progress,
    ...
    """
    sources = dict.fromkeys(_sources_of_all(results))
    keys = dict.fromkeys(key for source in sources for key in papers_in(source))
    entries = [_entry_of_library()]
    entries += [entry(BIBLIOGRAPHY[k].kind, k, BIBLIOGRAPHY[k].fields()) for k in keys]
    entries += dict.fromkeys(text for source in sources for text in _entries_unknown(source))
    return "\n\n".join(entries) + "\n"


def _entry_of_library() -> str:
    fields = {
        # In braces of its own it is one name, and not a family name with given names.
        "author": f"{{{AUTHORS}}}",
        "title": TITLE,
        "note": f"Version {metadata.version('grokinterp')}",
        "howpublished": f"\\url{{{REPOSITORY}}}",
    }
    return entry("misc", "grokinterp", fields)


def _entries_unknown(source: str) -> Iterator[str]:
    """What can be said of the papers in a user's source that the bibliography does not have."""
    words = " ".join(source.split())
    for number in unknown_numbers(source):
        note = words.replace("{", "(").replace("}", ")")
        fields = {"eprint": number, "archiveprefix": "arXiv", "note": note}
        yield entry("misc", f"arxiv{number.replace('.', '_')}", fields)
    is_ours = any(source == measure.source for measure in MEASURES)
    if not is_ours and not papers_in(source) and not unknown_numbers(source):
        # BibTeX passes over what stands outside of entries, but not over an @.
        yield f"% {words.replace('@', '(at)')}"


def _sources_of_all(results: Iterable[Any]) -> Iterator[str]:
    for result in results:
        if isinstance(result, Analysis):
            yield from _sources_of_analysis(result)
        elif isinstance(result, Run):
            yield from _sources_of_config(result.config)
        elif isinstance(result, Reproduction):
            yield from _sources_of_reproduction(result)
        elif isinstance(result, (list, tuple, set, frozenset)):
            yield from _sources_of_all(result)
        else:
            raise ConfigError(
                f"{type(result).__name__} has nothing to cite. Give analyses, runs, "
                "reproductions or lists of them."
            )


def _sources_of_analysis(analysis: Analysis) -> Iterator[str]:
    yield from _sources_of_config(analysis.run.config)
    has_representations = analysis.run.task.has_representations
    columns = set(analysis.trajectory.columns)
    for measure in analysis.measures:
        # The columns of a bare function are not known, but it was certainly asked for.
        if measure.source and (not measure.columns or columns & set(measure.columns)):
            yield measure.source
    if analysis.key_frequencies.frequencies:
        yield _CHUGHTAI if has_representations else _NANDA
    if any((analysis.phases.memorization, analysis.phases.circuit_formation)):
        yield _NANDA
    if len(analysis.by_representation):
        yield _CHUGHTAI
    if any(len(table) for table in (analysis.by_frequency, analysis.circuit, analysis.neurons)):
        yield _NANDA
    if "coset_subgroup" in analysis.neurons:
        yield _STANDER
    if "approximate_coset_share" in analysis.neurons:
        yield _MCCRACKEN
    if len(analysis.ablations):
        yield _NANDA
        if analysis.ablations["intervention"].astype(str).str.contains("resampl").any():
            yield _CHAN
    if analysis.circuit_steps is not None:
        yield from (_NANDA, _VARMA)
    if analysis.algorithm.verdict != "none":
        yield _ZHONG


def _sources_of_config(config: TrainConfig | ImportedConfig) -> Iterator[str]:
    """Task, preset, pressures and loss of a run and of the runs that it starts from."""
    if isinstance(config.task, DigitsSpec):
        yield _LIU
    elif isinstance(config.task, PolynomialSpec):
        yield _KUMAR
    elif isinstance(config.task, TaskSpec) and config.task.operation not in (
        "random_labels",
        "table",
    ):
        yield _POWER
    if getattr(config.model, "attention_rate", 1.0) != 1.0:
        yield _ZHONG
    if isinstance(config, ImportedConfig):
        return
    for name, source in PRESET_SOURCES.items():
        if _as_watched(config) == _as_watched(PRESETS[name]):
            yield source
    for name in config.pressures.names:
        if name in PRESSURE_SOURCES:
            yield PRESSURE_SOURCES[name]
    if config.loss == "stable_max":
        yield _PRIETO
    if config.optimizer.algorithm == "muon":
        yield _TVEIT
    if config.parent is not None:
        yield from _sources_of_config(config.parent)


def _as_watched(config: TrainConfig) -> TrainConfig:
    """Return the config with length, spacing and precision of the weights that all share."""
    standard = TrainConfig()
    names = ("n_steps", "test_every", "checkpoint_every", "stop_accuracy", "stop_patience")
    names += ("weight_dtype",)
    return dataclasses.replace(config, **{name: getattr(standard, name) for name in names})


def _sources_of_reproduction(result: Reproduction) -> Iterator[str]:
    yield result.experiment.paper
    for planned in result.experiment.plan(result.scale):
        yield from _sources_of_config(planned.config)
