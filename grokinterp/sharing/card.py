"""The model card: README.md of an exported folder, as the Hugging Face Hub shows it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from grokinterp.citing import REPOSITORY, cite
from grokinterp.errors import one_line
from grokinterp.fields import settled
from grokinterp.runs.config import ImportedConfig, TrainConfig
from grokinterp.runs.exported import WEIGHTS
from grokinterp.runs.record import ForeignNetworks
from grokinterp.runs.run import Run
from grokinterp.trajectory import Analysis

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$!&])")
_FILES = {
    "model.safetensors": "weights of the last checkpoint",
    "checkpoints": "weights of earlier checkpoints; a file's name ends in its step",
    "config.json": "config of the run, and the SHA-256 of all weights",
    "split.safetensors": "`train` and `test`: rows of the pairs",
    "curves.csv": "losses (nats) and accuracies by step",
    "labels.safetensors": "the table of answers, or of the group",
    "measures.csv": "a row per checkpoint, a column per measure",
    "by_frequency.csv": "a row per checkpoint and frequency",
    "by_representation.csv": "a row per checkpoint and irreducible representation",
    "ablations.csv": "the last checkpoint with one part or another taken out",
    "circuit.csv": "the circuit of the last checkpoint, stage by stage",
    "neurons.csv": "a row per neuron of the last checkpoint",
    "closed_form.csv": "how well the closed forms of the last checkpoint do",
    "closed_form_terms.csv": "what these closed forms are made of",
    "closed_form_curve.csv": "how well closed forms do along the run",
    "events.csv": "what happened along the run, an event a row",
    "summary.json": "key frequencies with the evidence, milestones, phases, reasons",
    "report.html": "the whole analysis in one file",
}


def model_card(analysis: Analysis, folder: Path, license: str | None) -> str:
    """Return the card of an analysis whose other files are in a folder already.

    Whatever comes from files of other people is quoted with its special characters escaped.
    """
    run = analysis.run
    parts = [
        _front_matter(analysis, license),
        f"# {escaped(run.task.spec.in_words).capitalize()}",
        escaped(analysis.outcome),
        _table(_found(analysis)),
        "## How it was trained",
        _training(analysis),
        "## How to load it",
        _loading(analysis),
        "## Limits",
        _bullets(_limits(analysis)),
        "## Files",
        _table(_files(folder)),
        "## Citation",
        fenced(cite(analysis), "bibtex"),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _files(folder: Path) -> dict[str, str]:
    others = {path.name: "a table of the analysis" for path in sorted(folder.glob("*.csv"))}
    known = {name: what for name, what in _FILES.items() if (folder / name).exists()}
    return {f"`{name}`": what for name, what in {**others, **known}.items()}


def escaped(text: str) -> str:
    r"""Return a text on one line that Markdown shows as it is.

    Examples
    --------
    >>> escaped("a*b <script>\n# c")
    'a\\*b \\<script\\> \\# c'
    """
    return _SPECIAL.sub(r"\\\1", one_line(text))


def fenced(text: str, language: str) -> str:
    """Return a block of code that no line of the text can end."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.strip()}\n{fence}"


def _front_matter(analysis: Analysis, license: str | None) -> str:
    task = analysis.run.task
    tags = ["grokking", "mechanistic-interpretability", task.spec.operation.replace("_", "-")]
    lines = ["---", "library_name: grokinterp", "tags:"]
    # A string of JSON is one of YAML, whatever is in it.
    lines += [f"- {json.dumps(tag)}" for tag in tags]
    lines += [f"license: {json.dumps(license)}" if license else "# license: mit"]
    return "\n".join([*lines, "---"])


def _found(analysis: Analysis) -> dict[str, str]:
    """What was found, by what it is called."""
    run, keys = analysis.run, analysis.key_frequencies
    has_names = run.task.has_representations
    field = "key_representations" if has_names else "key_frequencies"
    names = ", ".join(keys.names or ()) if has_names else ", ".join(map(str, keys.frequencies))
    found = {
        "network": escaped(run.spec.in_words),
        "checkpoints": f"{len(run.steps):,}, the last at step {run.steps[-1]:,}",
        field.replace("_", " "): _or_why(analysis, field, escaped(names)),
    }
    for name in ("memorization_step", "grokking_step"):
        step = getattr(analysis.milestones, name)
        text = "" if step is None else f"{step:,}"
        found[name.replace("_", " ")] = _or_why(analysis, name, text)
    for name, span in analysis.phases.as_dict().items():
        text = f"steps {span[0]:,} to {span[1]:,}" if span else ""
        found[name.replace("_", " ")] = _or_why(analysis, f"phases.{name}", text)
    verdict = f"{analysis.algorithm.verdict}: {analysis.algorithm.reason}"
    found["algorithm"] = escaped(verdict)
    for name in ("train_loss", "test_loss", "train_accuracy", "test_accuracy", "accuracy_all"):
        value = analysis.final.get(name)
        if value is not None:
            unit = " nats" if name.endswith("loss") else ""
            found[name.replace("_", " ")] = f"{value:.4g}{unit}"
    return found


def _or_why(analysis: Analysis, field: str, text: str) -> str:
    return text or f"none: {escaped(analysis.why(field) or 'not known')}"


def _training(analysis: Analysis) -> str:
    run = analysis.run
    split = "Which pairs were trained on is not known."
    if run.split.is_known:
        n_train, n_pairs = len(run.split.train), len(run.split.train) + len(run.split.test)
        split = f"{n_train:,} of {n_pairs:,} pairs were trained on."
    if not isinstance(run.config, TrainConfig):
        return f"{split} It was trained elsewhere: {escaped(run.origin)}"
    config, plain = run.config.to_dict(), settled(run.config)
    settings = {"steps": f"{run.last_step:,}", "loss": config["loss"]}
    # Fields that came later are named where they are not as usual.
    chosen = {n: v for n, v in plain["optimizer"].items() if v is not None}
    settings["optimizer"] = _settings(chosen)
    settings["task"] = _settings({n: v for n, v in config["task"].items() if v is not None})
    if run.config.batch_size is not None:
        names = ("batch_size", "batch_sampling", "batch_seed")
        settings["minibatches"] = _settings({name: config[name] for name in names})
    precisions = {name: config[name] for name in ("weight_dtype", "loss_dtype")}
    settings["precision"] = _settings(precisions)
    if run.config.pressures.names:
        settings["pressures"] = repr(run.config.pressures)
    seeds = {"init_seed": config["model"]["init_seed"], "init": config["model"]["init"]}
    settings["initial weights"] = _settings(seeds)
    return f"{split}\n\n{_table({name: escaped(str(v)) for name, v in settings.items()})}"


def _settings(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


def _dtype_of(run: Run) -> str:
    """Precision of a run's weights: ``float32``."""
    return str(next(iter(run.parameters().values())).dtype).removeprefix("torch.")


def _loading(analysis: Analysis) -> str:
    run = analysis.run
    if not isinstance(run.checkpoints, ForeignNetworks):
        code = (
            "import grokinterp as gi\n\n"
            'run = gi.load_run("hf://OWNER/NAME")  # or a folder\n'
            "analysis = gi.analyze_run(run)"
        )
        names = "TransformerLens's names" if run.spec.in_words.startswith("transf") else "the names"
        return (
            f"{fenced(code, 'python')}\n\n`{WEIGHTS}` has the parameters under {names} of "
            f"[grokinterp]({REPOSITORY}), {_dtype_of(run)}."
        )
    if not run.parameters():
        return "Only the logits of this network were analyzed: the folder holds no weights."
    code = f"python -m grokinterp.analyze {WEIGHTS} --module package.module:build --task.p ..."
    return (
        f"`{WEIGHTS}` has the parameters under the names of its author's module, and its forward "
        f"pass is not in this folder. Build the module, and\n\n{fenced(code, 'bash')}"
    )


def _limits(analysis: Analysis) -> Iterable[str]:
    run = analysis.run
    yield from (f"It may have been misread: {escaped(doubt)}" for doubt in run.doubts)
    yield from (escaped(caveat) for caveat in analysis.key_frequencies.caveats)
    if isinstance(run.config, ImportedConfig) and run.config.unknown:
        names = ", ".join(f"`{escaped(name)}`" for name in sorted(run.config.unknown))
        yield f"Not known: optimizer, number of steps, {names.replace(chr(92), '')}."
    for name, reason in run.missing_parts.items():
        yield escaped(f"No {name.replace('_', ' ')}: {reason}.")
    for name, reason in analysis.failures.items():
        yield escaped(f"{name} could not be computed: {reason}")
    version = metadata.version("grokinterp")
    keys = "representations" if analysis.run.task.has_representations else "frequencies"
    yield (
        f"The numbers are those of grokinterp {version}, on one network; another seed may lead to "
        f"other key {keys}."
    )


def _table(rows: Mapping[str, str]) -> str:
    return "\n".join(
        ["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows.items())]
    )


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
