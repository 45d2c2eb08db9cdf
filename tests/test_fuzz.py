"""Files damaged at random: what comes out is a result or an error of the library, in one line.

Sixty examples of each test, always the same; ``--hypothesis-profile=nightly`` searches on.
"""

import copy
import json
import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings, strategies as st
from safetensors.torch import save_file

from grokinterp.errors import CheckpointError, GrokinterpError
from grokinterp.runs import PRESETS, TrainConfig
from grokinterp.runs.loading import load_run
from tests.foreign import transposed_state
from tests.wrong_uses import tiny_config

pytestmark = pytest.mark.long

SLOW = settings().max_examples // 3
"""Examples of the tests that train or analyze."""


def only_our_errors(do):
    """Return what comes out, or the error; any other error fails the test."""
    try:
        return do()
    except GrokinterpError as error:
        assert str(error).isprintable() and str(error)
        return error


# --- JSON ---------------------------------------------------------------------------------

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**3), 10**3)
    | st.sampled_from([2**31, 2**63, 10**30, -(2**63), 10**400])
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["addition", "digits", "mlp", "polynomial", "relu", "mse", "\x00", "é\n"])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def paths_in(value, path=()):
    """Every way into a nest of tables and lists."""
    found = [path] if path else []
    if isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            found += paths_in(inner, (*path, key))
    return found


@st.composite
def mutated(draw, tables, replacements):
    """One of some tables with a few entries replaced, removed or renamed."""
    table = copy.deepcopy(tables[draw(st.integers(0, len(tables) - 1))])
    for _ in range(draw(st.integers(1, 3))):
        paths = paths_in(table)
        if not paths:
            break
        *way, last = draw(st.sampled_from(paths))
        place = table
        for key in way:
            place = place[key]
        action = draw(st.sampled_from(["replace", "replace", "remove", "rename"]))
        if action == "replace" or isinstance(place, list):
            place[last] = draw(replacements)
        elif action == "remove":
            del place[last]
        else:
            place[draw(st.text(max_size=6))] = place.pop(last)
    return table


CONFIGS = [config.to_dict() for config in (*PRESETS.values(), TrainConfig(parent=TrainConfig()))]


@given(mutated(CONFIGS, values))
def test_a_mutated_config_is_refused_or_means_what_it_says(table):
    config = only_our_errors(lambda: TrainConfig.from_dict(table))
    if isinstance(config, TrainConfig):
        assert TrainConfig.from_dict(config.to_dict()) == config
        steps = config.checkpoint_steps()
        assert steps[0] == 0 and steps[-1] == config.n_steps


@given(st.sampled_from(sorted(CONFIGS[0])), values)
def test_any_json_is_a_part_of_a_config_or_is_refused(part, value):
    only_our_errors(lambda: TrainConfig.from_dict({part: value}))


# --- run folders --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A finished run, and one that has an analysis, p = 5."""
    from grokinterp.measures import MEASURES
    from grokinterp.training import train
    from grokinterp.trajectory import analyze_run

    folder = tmp_path_factory.mktemp("fuzz") / "run"
    run = train(tiny_config(), folder, progress=False)
    analyze_run(run, MEASURES[:2], deep=False)
    return folder


@st.composite
def damages(draw):
    """A few changes to files: what, to which, where, and with what."""
    one = st.tuples(
        st.sampled_from(
            ["cut", "flip", "remove", "swap", "rename", "folder", "append", "empty", "text"]
        ),
        st.integers(0, 10**6),
        st.floats(0, 1, exclude_max=True),
        st.binary(min_size=1, max_size=12),
    )
    return draw(st.lists(one, min_size=1, max_size=3))


def damage(folder, changes):
    """Apply them to the files of a folder."""
    for what, number, place, junk in changes:
        files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != ".lock")
        if not files:
            return
        file = files[number % len(files)]
        content = file.read_bytes()
        position = int(place * len(content))
        if what == "cut":
            file.write_bytes(content[:position])
        elif what == "flip" and content:
            changed = bytes(a ^ b for a, b in zip(content[position:], junk, strict=False))
            file.write_bytes(content[:position] + changed + content[position + len(changed) :])
        elif what == "remove":
            file.unlink()
        elif what == "swap":
            other = files[(number // 7) % len(files)]
            file.write_bytes(other.read_bytes())
            other.write_bytes(content)
        elif what == "rename":
            file.rename(file.with_name(f"step_{number % 20}{file.suffix}"))
        elif what == "folder":
            file.unlink()
            file.mkdir()
        elif what == "append":
            file.write_bytes(content + junk)
        elif what == "empty":
            file.write_bytes(b"")
        elif what == "text" and file.suffix in (".csv", ".json", ".jsonl"):
            text = junk.hex()[:6].encode() + b",\n"
            file.write_bytes(content[:position] + text + content[position:])


def use(folder):
    """Load, read and analyze a run, and go on training it."""
    from grokinterp.measures import MEASURES
    from grokinterp.training import train
    from grokinterp.trajectory import analyze_run

    run = only_our_errors(lambda: load_run(folder))
    if not isinstance(run, GrokinterpError):
        for step in run.steps:
            only_our_errors(lambda step=step: run.parameters(step))
        only_our_errors(lambda: analyze_run(run, MEASURES[:2], deep=False, every=3))
    only_our_errors(lambda: train(tiny_config(), folder, progress=False))


@settings(max_examples=SLOW)
@given(damages())
def test_a_damaged_run_folder_gives_results_or_our_errors(home, changes):
    with tempfile.TemporaryDirectory() as place:
        folder = shutil.copytree(home, Path(place) / "run")
        damage(folder, changes)
        use(folder)


@given(mutated([tiny_config().to_dict()], values))
def test_a_run_with_another_config_gives_results_or_our_errors(home, table):
    with tempfile.TemporaryDirectory() as place:
        folder = shutil.copytree(home, Path(place) / "run")
        config = {"format_version": 1, **table}
        (folder / "config.json").write_text(json.dumps(config))
        run = only_our_errors(lambda: load_run(folder))
        if not isinstance(run, GrokinterpError):
            for step in run.steps:
                only_our_errors(lambda step=step: run.parameters(step))


@given(
    start=st.floats(0, 1, exclude_max=True),
    junk=st.binary(min_size=1, max_size=64).filter(any),
    is_cut=st.booleans(),
)
def test_any_changed_region_of_a_checkpoint_is_detected_and_named(home, start, junk, is_cut):
    path = home / "checkpoints" / "step_00000008.safetensors"
    content = path.read_bytes()
    place = int(start * len(content))
    changed = bytes(a ^ b for a, b in zip(content[place:], junk, strict=False))
    changed = content[:place] + (b"" if is_cut else changed + content[place + len(changed) :])
    assume(changed != content)
    try:
        path.write_bytes(changed)
        run = load_run(home)
        with pytest.raises(
            CheckpointError, match=r"step_00000008\.safetensors is damaged: its SHA"
        ):
            run.parameters(8)
        assert run.parameters(4).keys() == run.parameters(10).keys()
    finally:
        path.write_bytes(content)


@given(st.integers(0, 10**9), st.binary(max_size=50))
def test_a_file_without_an_entry_is_unreported_and_damages_nothing(home, step, content):
    assume(step not in load_run(home).steps)
    path = home / "checkpoints" / f"step_{step:08d}.safetensors"
    try:
        path.write_bytes(content)
        run = load_run(home)
        assert step not in run.steps
        assert all(run.parameters(kept) for kept in run.steps)
    finally:
        path.unlink()


# --- other people's files -----------------------------------------------------------------


def transformer_lens_state():
    """A state dict under TransformerLens's names, p = 5."""
    from grokinterp.models import ModelSpec
    from grokinterp.models.initialization import initial_parameters

    spec = ModelSpec(d_model=8, n_heads=2, d_head=4, d_mlp=12)
    return initial_parameters(spec, **spec.vocabulary_sizes(5))


LOSSES = [1.6, 1.2, 0.7, 0.3]
PLAIN = {"train_losses": LOSSES, "test_losses": LOSSES, "config": {"p": 5, "fn_name": "add"}}
NANDA = {
    "one": {"model": transposed_state(p=5), "train_data": [(0, 1, 5), (2, 3, 5)], **PLAIN},
    "many": {"state_dicts": [transposed_state(p=5, seed=s) for s in (0, 1)], "epochs": [0, 9]},
}
DEMO = {
    "model": transformer_lens_state(),
    "checkpoints": [transformer_lens_state(), transformer_lens_state()],
    "checkpoint_epochs": [0, 100],
    "train_indices": torch.tensor([0, 3, 7]),
    "test_indices": torch.tensor([1, 2]),
    **PLAIN,
}
ZHONG = {"attn_coeff": 0.5, "act_fn": "ReLU", "epoch": 100, "funcs": "lambda x: (x[0]+x[1])%5"}
TABLES = [*NANDA.values(), DEMO, transformer_lens_state(), {"state_dict": transposed_state(p=5)}]

tensors = st.sampled_from(
    [
        torch.zeros(()),
        torch.zeros(0),
        torch.zeros(3, dtype=torch.int64),
        torch.full((6, 8), float("nan")),
        torch.ones(8, 8, dtype=torch.complex64),
        torch.ones(2, 8, 4, dtype=torch.float16),
        torch.ones(6, 8, dtype=torch.bool),
        torch.zeros(3, 8).to_sparse(),
        torch.zeros(8, 6).T,
        torch.zeros(2, 2, 2, 2, 2),
    ]
)


def read_all(path):
    """Load, and read every checkpoint that is there."""
    run = load_run(path)
    assert run.origin.isprintable()
    return [run.parameters(step) for step in run.steps]


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@settings(max_examples=SLOW)
@given(mutated(TABLES, values | tensors), st.sampled_from(["run.pt", "model_x.pt", "7.pth"]))
def test_a_mutated_foreign_file_gives_a_run_or_our_errors(table, name):
    with tempfile.TemporaryDirectory() as place:
        torch.save(table, Path(place) / name)
        only_our_errors(lambda: read_all(Path(place) / name))
        only_our_errors(lambda: read_all(Path(place)))


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """One file or folder of every format."""
    folder = tmp_path_factory.mktemp("originals")
    for name, table in {"nanda.pth": NANDA["one"], "demo.pt": DEMO}.items():
        torch.save(table, folder / name)
    torch.save(NANDA["many"], folder / "legacy.pth", _use_new_zipfile_serialization=False)
    save_file(transformer_lens_state(), folder / "step_3.safetensors")
    torch.save(transposed_state(p=5, n_ctx=2), folder / "model_x.pt")
    (folder / "config_x.json").write_text(json.dumps(ZHONG))
    return folder


@settings(max_examples=SLOW // 2)
@given(damages())
def test_a_damaged_foreign_file_gives_a_run_or_our_errors(originals, changes):
    with tempfile.TemporaryDirectory() as place:
        folder = shutil.copytree(originals, Path(place) / "files")
        damage(folder, changes)
        for path in sorted(folder.iterdir()):
            same = originals / path.name
            is_changed = path.is_dir() or not same.exists()
            if is_changed or path.read_bytes() != same.read_bytes():
                only_our_errors(lambda path=path: read_all(path))
        only_our_errors(lambda: read_all(folder))


@given(mutated([ZHONG], values))
def test_a_mutated_config_of_zhong_gives_a_run_or_our_errors(originals, table):
    file = originals / "config_x.json"
    try:
        file.write_text(json.dumps(table))
        only_our_errors(lambda: read_all(originals / "model_x.pt"))
    finally:
        file.write_text(json.dumps(ZHONG))


def test_the_originals_are_read(originals):
    # The sibling that shows that the tests above damage something.
    for name in ("nanda.pth", "demo.pt", "legacy.pth", "step_3.safetensors", "model_x.pt"):
        error = only_our_errors(lambda name=name: read_all(originals / name))
        assert not isinstance(error, GrokinterpError) or "fit no operation" in str(error), error
