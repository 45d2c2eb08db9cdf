"""The networks of Zhong et al. 2023: ``model_<runid>.pt`` beside ``config_<runid>.json``.

Two tokens ``a b`` (or ``a b =`` where the config says ``eqn_sign``), no mask, read at the last
position, weights transposed as in Nanda et al.'s code. The attention pattern is ``rate *
softmax + (1 - rate)``, with ``attn_coeff`` of the config as the rate: nothing in the weights
shows it. With ``diff_vocab`` b has tokens of its own. The split was drawn without a seed and is
not known. Their linear models (:mod:`~grokinterp.runs.importers.zhong2023_linear`) have files of
the same names.

References
----------
Zhong et al., "The clock and the pizza: two stories in mechanistic explanation of neural
networks", NeurIPS 2023, arXiv:2306.17844, published code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grokinterp.errors import CheckpointError, RunFolderError
from grokinterp.fields import shown
from grokinterp.models import MlpSpec
from grokinterp.runs.importers.answers import Answers, accuracy_on
from grokinterp.runs.importers.assembly import LARGEST_STEP, imported_run, listed, quoted
from grokinterp.runs.importers.evidence import Reading, find_reading
from grokinterp.runs.importers.foreign_files import ForeignPath, Importer, plain_fields
from grokinterp.runs.importers.hints import NO_HINTS, Hints
from grokinterp.runs.importers.layouts import layout_of
from grokinterp.runs.importers.parameters import Network, find_state_dict, read_network
from grokinterp.runs.importers.scored_readings import CLEARLY, SPREADS_OF_CHANCE
from grokinterp.runs.importers.zhong2023_linear import is_linear, linear_network
from grokinterp.runs.reading import read_json_table
from grokinterp.runs.record import ImportedRun, WeightsInMemory
from grokinterp.tasks import Split

_FUNCTION = re.compile(r"lambda x: ?\(x\[0\]([-+*])x\[1\]\) ?% ?(\d+)")
_OPERATIONS = {"+": "addition", "-": "subtraction", "*": "multiplication"}
_NOT_SHOWN = ("attention_dir", "attention_rate", "act_fn")
_ACTIVATIONS = {"relu": "relu", "gelu": "gelu"}


def objection(source: ForeignPath) -> str:
    """Say why a path is no such file; empty if it is."""
    if source.is_folder:
        return "a folder; name one model_*.pt in it"
    if not source.path.name.startswith("model_"):
        return "not named model_<runid>.pt"
    config = _config_file(source)
    if not config.exists():
        return f"no {config.name} beside it, which alone has the attention rate"
    state = find_state_dict(source.content)
    is_theirs = state is not None and (layout_of(state) == "transposed" or is_linear(state))
    return "" if is_theirs else "neither transposed weights of a transformer nor a linear model"


def load(source: ForeignPath, hints: Hints = NO_HINTS) -> ImportedRun:
    """Read the network under the settings of its config, and say how accurate it is."""
    config, state = _read_config(source), find_state_dict(source.content)
    assert state is not None
    given = {name: value for name, value in hints.model.items() if name in _NOT_SHOWN}
    said, said_kind = None, {}
    if is_linear(state):
        network = linear_network(state, config)
        said = "addition"
    else:
        said_kind = _kind(config, source)
        network = read_network(state, **{"attention_dir": "bidirectional", **said_kind, **given})
    hints.require_model(network.spec)
    function = _FUNCTION.fullmatch(str(config.get("funcs")))
    if function and int(function.group(2)) == network.order:
        said = _OPERATIONS[function.group(1)]
    reading = find_reading([network], said=said, hints=hints)
    given_doubts = ()
    if any(given[name] != said_kind[name] for name in given.keys() & said_kind.keys()):
        stored = read_network(state, **{"attention_dir": "bidirectional", **said_kind})
        right = accuracy_on(Answers.of(stored).table, reading.task)
        given_doubts = _doubt_of_given(reading, right, said_kind)
    epochs = config.get("epoch")
    step, when = 0, "an unknown step, shown as 0"
    if isinstance(epochs, int) and not isinstance(epochs, bool) and 0 < epochs < LARGEST_STEP:
        step, when = epochs, f"step {epochs:,}, as its config says"
    return imported_run(
        source,
        WeightsInMemory({step: network.parameters}),
        network.spec,
        Split.unknown(reading.task),
        origin=[
            f"imported from {source.path.name} (zhong2023): the weights at {when}.",
            *_of_kind(network, config, said_kind),
            _cut(network),
            reading.account,
            "Which pairs were trained on is not known: the split was drawn without a seed.",
            quoted(plain_fields(config)),
            listed(network.ignored),
        ],
        doubts=(*reading.doubts, *given_doubts),
    )


def _of_kind(
    network: Network, config: Mapping[str, Any], kind: Mapping[str, Any]
) -> tuple[str, ...]:
    """What the config alone knows, what was given instead, and how the weights were turned."""
    spec = network.spec
    if isinstance(spec, MlpSpec):
        return f"It is a linear model of type {config['model_type']}.", *network.notes
    two = ", two embeddings" if spec.operand_embeddings == "separate" else ""
    other = [f"{name}={getattr(spec, name)}" for name in kind if getattr(spec, name) != kind[name]]
    return (
        f"Its config also says: attention rate {kind['attention_rate']:g}, activation "
        f"{kind['act_fn']}{two}.",
        f"Given in its place: {', '.join(other)}." if other else "",
        "Weights were transposed to TransformerLens's orientation.",
    )


def _doubt_of_given(reading: Reading, right: float, kind: Mapping[str, Any]) -> tuple[str, ...]:
    """Doubt a given value if the network answers clearly more pairs as its config says."""
    given_right = reading.accuracy
    spread = math.sqrt(right * (1 - right) / reading.task.n_pairs)
    if right - given_right <= max(CLEARLY, SPREADS_OF_CHANCE * spread):
        return ()
    spec = reading.network.spec
    names = [name for name in kind if getattr(spec, name) != kind[name]]
    given, stored = (
        ", ".join(f"{name}={values[name]}" for name in names) for values in (vars(spec), kind)
    )
    return (
        f"It is given that the network has {given}, but read with {stored}, as its config says, it "
        f"is right on {right:.1%} of the pairs instead of {given_right:.1%}: the given value is "
        "probably wrong.",
    )


def _cut(network: Network) -> str:
    if network.extra_output is None:
        return ""
    n_more = network.extra_output.shape[1]
    more = "One output more" if n_more == 1 else f"{n_more} outputs more"
    return f"{more} than there are answers {'was' if n_more == 1 else 'were'} cut."


def _config_file(source: ForeignPath) -> Path:
    runid = source.path.stem.removeprefix("model_")
    return source.path.with_name(f"config_{runid}.json")


def _read_config(source: ForeignPath) -> Mapping[str, Any]:
    path = _config_file(source)
    try:
        return read_json_table(path)
    except (OSError, ValueError, RunFolderError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}. Fetch it again.") from None


def _kind(config: Mapping[str, Any], source: ForeignPath) -> dict[str, Any]:
    """Fields of the spec that only the config knows."""
    path = _config_file(source)
    rate, act_fn = config.get("attn_coeff"), str(config.get("act_fn", "ReLU")).lower()
    if not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
        raise CheckpointError(f"{path} has attn_coeff={shown(rate)}; expected a number in [0, 1].")
    if act_fn not in _ACTIVATIONS:
        raise CheckpointError(
            f"{path} has act_fn={shown(act_fn)}; only relu and gelu are known here."
        )
    if config.get("use_linear"):
        raise CheckpointError(
            f"{path} has use_linear={shown(config['use_linear'])}, which no transformer here can "
            "have. Choose another of the published models."
        )
    tables = "separate" if config.get("diff_vocab") else "shared"
    return {"attention_rate": float(rate), "act_fn": act_fn, "operand_embeddings": tables}


IMPORTER = Importer("zhong2023", objection, load)
