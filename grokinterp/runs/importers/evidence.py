"""What a file does not say, inferred from how its network answers: operation and split."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from grokinterp.errors import CheckpointError, ConfigError
from grokinterp.models.pair_tables import pair_logits
from grokinterp.runs.importers.hints import NO_HINTS, Hints
from grokinterp.runs.importers.parameters import Network
from grokinterp.tasks import OPERATIONS, Split, Task, TaskSpec, draw_split

SEEDS = range(10)
FRACTIONS = (0.3, 0.25, 0.28, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Seeds and train fractions of the splits that are tried: those of the published runs."""
Z_OF_PROOF = 5.0
"""Standard errors between the mean ranks of trained and untrained pairs that prove a split: for
100 splits tried, chance gives 5 once in 30,000 files."""


@dataclass(frozen=True, eq=False)
class Reading:
    """A network with the task that it does."""

    network: Network
    task: Task
    accuracy: float
    """Fraction of all pairs that it answers correctly."""
    losses: np.ndarray
    """Cross-entropy of every pair in nats, float64, over all outputs the file has."""
    account: str
    """How the operation was found, in a sentence."""
    doubts: tuple[str, ...] = ()
    """Why this may be a misreading, a sentence each; usually nothing."""


def find_reading(
    candidates: Sequence[Network], *, said: str | None = None, hints: Hints = NO_HINTS
) -> Reading:
    """Find what a network computes: the operation, and which of several readings is right.

    Every operation modulo p is tried on all pairs. The one that is right most often is taken
    if that cannot be chance. The first reading stands unless another is clearly better: by
    2 % of the pairs, or with less than a quarter of the loss. (In the published low-precision
    network GELU in place of ReLU lowers the loss by half a per cent.)

    Parameters
    ----------
    candidates
        The same weights, read in the ways that their shapes leave open.
    said
        Operation that the format or a stored config names; used, with its accuracy, where no
        operation fits.
    hints
        What the user says about the file.

    Raises
    ------
    CheckpointError
        If no operation fits and none was named.
    """
    scored: list[Reading] = []
    for network in candidates:
        found = list(_scores(network))
        if not scored or _is_clearly_better(_most_accurate(found), _most_accurate(scored)):
            scored = found
    best = _most_accurate(scored)
    p = best.task.spec.p
    name, by_name = best.task.spec.operation, {r.task.spec.operation: r for r in scored}
    table = ", ".join(f"{n} {r.accuracy:.1%}" for n, r in by_name.items())
    if best.accuracy >= min(0.9, max(0.2, 3 / p)):
        doubt = f" (its config says {said})" if said not in (None, name) else ""
        account = f"The operation is {name}{doubt}: right on {best.accuracy:.2%} of all pairs"
        account += f" (of those tried: {table}).{_chosen_fields(best.network, candidates)}"
        return dataclasses.replace(best, account=account)
    if said in by_name:
        found = by_name[said]
        account = f"The operation is said to be {said}, but only {found.accuracy:.2%} of all pairs"
        return dataclasses.replace(found, account=f"{account} are right (tried: {table}).")
    raise CheckpointError(
        f"the answers fit no operation modulo {p} ({table}). Name the task: "
        "gi.Run.from_state_dicts({step: state_dict}, task=...), see docs/importing.md."
    )


def find_split(
    reading: Reading,
    *,
    method: str = "python_shuffle",
    seeds: Iterable[int] = SEEDS,
    fractions: Iterable[float] = FRACTIONS,
    log: Mapping[str, float] | None = None,
) -> tuple[Split, str]:
    """Find which of the splits that published code draws a network was trained on.

    Two things prove a split: the losses that were logged are reproduced on it, or the network
    is surer of its training pairs than of the others by far more than chance.

    Parameters
    ----------
    reading
        Of the last checkpoint.
    method, seeds, fractions
        The splits that are tried.
    log
        Train and test loss that the log leads to expect at these weights, in nats, and under
        ``tolerance`` how far off, in log units, they may be.

    Returns
    -------
    tuple[Split, str]
        The split (unknown if none is proven), and how it was found.
    """
    trials = list(_trials(reading, method, seeds, fractions, log))
    matching = [t for t in trials if t.is_reproduced]
    if matching:
        best = min(matching, key=lambda t: t.discrepancy)
        first = trials[0]
        chosen = first if first.is_reproduced and best.z < Z_OF_PROOF else best
        rivals = {t.spec.split_seed for t in matching} - {chosen.spec.split_seed}
        if chosen is first or not rivals or chosen.z >= Z_OF_PROOF:
            how = f"it reproduces the logged losses (train {chosen.train:.4g}, test "
            how += f"{chosen.test:.4g} nats; {len(matching)} of {len(trials)} splits tried do)"
            return _drawn(chosen, f"{how}; {_ranks(chosen)}")
    elif not log:
        best = max(trials, key=lambda t: t.z)
        if best.z >= Z_OF_PROOF:
            return _drawn(best, _ranks(best))
    unknown = f"None of the {len(trials)} published splits tried could be distinguished from chance"
    if log:
        unknown = f"None of the {len(trials)} published splits tried reproduces the logged losses"
    return Split.unknown(reading.task), f"{unknown}, so the split is not known."


def expected_next(losses: Sequence[float]) -> tuple[float, float]:
    """Continue a logged loss by one entry: its value, and how far off that may be.

    Returns
    -------
    tuple[float, float]
        Loss in nats, and a tolerance in log units: twice the last change, at least 2 %.
    """
    last, before = losses[-1], losses[-2] if len(losses) > 1 else losses[-1]
    change = math.log(last / before) if 0 < min(last, before) else 0.0
    return last * math.exp(change), max(0.02, 2 * abs(change))


@dataclass(frozen=True)
class _Trial:
    spec: TaskSpec
    train: float
    test: float
    z: float
    discrepancy: float
    is_reproduced: bool


def _trials(
    reading: Reading,
    method: str,
    seeds: Iterable[int],
    fractions: Iterable[float],
    log: Mapping[str, float] | None,
) -> Iterable[_Trial]:
    losses = reading.losses
    ranks = losses.argsort().argsort().astype(float)
    ranks = (ranks - ranks.mean()) / ranks.std()
    for seed in seeds:
        spec = dataclasses.replace(reading.task.spec, split_seed=seed, split_method=method)
        half = draw_split(Task(dataclasses.replace(spec, train_fraction=0.5)))
        order = np.concatenate([half.train, half.test])
        for fraction in fractions:
            n = int(len(order) * fraction)
            if not 0 < n < len(order):
                continue
            train, test = losses[order[:n]].mean(), losses[order[n:]].mean()
            difference = ranks[order[n:]].mean() - ranks[order[:n]].mean()
            z = difference / math.sqrt(1 / n + 1 / (len(order) - n))
            off = _discrepancy(train, test, log) if log else math.inf
            is_same = bool(log) and off <= 1
            yield _Trial(
                dataclasses.replace(spec, train_fraction=fraction), train, test, z, off, is_same
            )


def _discrepancy(train: float, test: float, log: Mapping[str, float]) -> float:
    """Largest distance from the log, in units of its tolerance."""
    found = {"train": train, "test": test}
    distances = [
        abs(math.log(max(found[side], 1e-300) / max(log[side], 1e-300))) / log[f"{side}_tolerance"]
        for side in found
        if side in log
    ]
    return max(distances, default=math.inf)


def _drawn(trial: _Trial, why: str) -> tuple[Split, str]:
    spec = trial.spec
    split = draw_split(Task(spec))
    return split, (
        f"The split was inferred: {spec.split_method} with seed {spec.split_seed}, train fraction "
        f"{spec.train_fraction:g}, since {why}."
    )


def _ranks(trial: _Trial) -> str:
    return f"its training pairs have the lower losses by {trial.z:.1f} standard errors of the rank"


def _scores(network: Network) -> Iterable[Reading]:
    p = network.order
    grid = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    with torch.no_grad():
        logits = pair_logits(network.parameters, network.spec, grid)
        answers = logits.argmax(dim=1).numpy()
        normalizers = _all_logits(network, logits, grid).double().logsumexp(dim=1)
    for name, operation in OPERATIONS.items():
        # What can be explained: the others have no group and hence no circuit to look for.
        if operation.group is None:
            continue
        try:
            task = Task(TaskSpec(operation=name, p=p))  # pyright: ignore[reportArgumentType]
        except ConfigError:
            continue
        if task.n_classes != p:
            continue
        rows = task.pairs[:, 0] * p + task.pairs[:, 1]
        right = logits.double()[torch.tensor(rows), torch.tensor(task.labels)]
        losses = (normalizers[torch.tensor(rows)] - right).numpy()
        accuracy = float((answers[rows] == task.labels).mean())
        yield Reading(network, task, accuracy, losses, "")


def _all_logits(network: Network, logits: Tensor, grid: Tensor) -> Tensor:
    """The logits with that of the token ``=`` again, which counted in the logged losses."""
    if network.extra_output is None:
        return logits
    W_U = torch.cat([network.parameters["unembed.W_U"], network.extra_output], dim=1)
    b_U = torch.cat([network.parameters["unembed.b_U"], torch.zeros(network.extra_output.shape[1])])
    whole = {**network.parameters, "unembed.W_U": W_U, "unembed.b_U": b_U}
    return pair_logits(whole, network.spec, grid)


def _most_accurate(readings: Sequence[Reading]) -> Reading:
    # max keeps the first of equals: addition, where p = 2 makes subtraction the same.
    return max(readings, key=lambda reading: reading.accuracy)


def _is_clearly_better(reading: Reading, than: Reading) -> bool:
    if reading.accuracy > than.accuracy + 0.02:
        return True
    is_as_accurate = reading.accuracy > than.accuracy - 0.02
    return is_as_accurate and float(reading.losses.mean()) < float(than.losses.mean()) / 4


def _chosen_fields(network: Network, candidates: Sequence[Network]) -> str:
    """Say which fields of the spec no shape shows."""
    specs = [dataclasses.asdict(candidate.spec) for candidate in candidates]
    chosen = dataclasses.asdict(network.spec)
    open_fields = [name for name in chosen if len({str(spec[name]) for spec in specs}) > 1]
    text = ", ".join(f"{name}={chosen[name]}" for name in open_fields)
    return f" Not shown by the weights, chosen by how well they answer: {text}." if text else ""
