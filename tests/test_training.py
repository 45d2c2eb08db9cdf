"""Training: what the curves mean, exact continuation, extension, divergence, refusals."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from grokinterp.errors import CheckpointError, ConfigError, RunFolderError
from grokinterp.models.initialization import initial_parameters
from grokinterp.models.transformer import transformer_logits
from grokinterp.runs import PRESETS, OptimizerSpec
from grokinterp.runs.stored_run import load_run
from grokinterp.tasks import TaskSpec
from grokinterp.training import train
from tests import tiny


def same_bits(one, other):
    return (
        one.steps == other.steps
        and all(one.checksum(step) == other.checksum(step) for step in one.steps)
        and one.curves.equals(other.curves)
    )


def losses_at(run, step):
    """Train and test loss of a checkpoint, through the plain forward pass."""
    tokens, labels = torch.tensor(run.task.tokens), torch.tensor(run.task.labels)
    with torch.no_grad():
        logits = transformer_logits(run.parameters(step), tokens, run.spec)[:, -1].double()
    sides = (run.split.train, run.split.test)
    return [F.cross_entropy(logits[rows], labels[rows]).item() for rows in sides]


def accuracy_at(run, step, side):
    tokens, labels = torch.tensor(run.task.tokens), torch.tensor(run.task.labels)
    logits = transformer_logits(run.parameters(step), tokens, run.spec)[:, -1]
    rows = getattr(run.split, side)
    return (logits[rows].argmax(-1) == labels[rows]).double().mean().item()


@pytest.mark.parametrize("step", [0, 1, 16, 40, 400])
def test_curves_at_a_step_belong_to_the_weights_after_that_many_updates(tiny_run, step):
    row = tiny_run.curves.set_index("step").loc[step]
    train_loss, test_loss = losses_at(tiny_run, step)
    assert row["train_loss"] == pytest.approx(train_loss, rel=1e-4)
    if step % tiny_run.config.test_every == 0:
        assert row["test_loss"] == pytest.approx(test_loss, rel=1e-4)
        for side in ("train", "test"):
            assert row[f"{side}_accuracy"] == accuracy_at(tiny_run, step, side)


def test_a_curve_shifted_by_one_step_would_be_noticed(tiny_run):
    train_loss, _ = losses_at(tiny_run, 16)
    assert tiny_run.curves["train_loss"][17] != pytest.approx(train_loss, rel=1e-3)


def test_curves_have_every_step_and_tests_at_their_interval_and_the_end(tmp_path):
    config = dataclasses.replace(tiny.config(), n_steps=25, test_every=10)
    curves = train(config, tmp_path / "run", progress=False).curves
    assert curves["step"].tolist() == list(range(26))
    assert curves["train_loss"].notna().all()
    assert curves.loc[curves["test_loss"].notna(), "step"].tolist() == [0, 10, 20, 25]
    assert list(curves.columns) == [
        "step",
        "train_loss",
        "test_loss",
        "train_accuracy",
        "test_accuracy",
    ]


def test_numbers_of_the_curves_round_trip(tiny_run):
    lines = (tiny_run.folder / "curves.csv").read_text().splitlines()
    first = lines[1].split(",")
    assert repr(float(first[1])) == first[1]
    assert tiny_run.curves["train_loss"][0] == float(first[1])


def test_the_warm_up_makes_the_first_update_change_nothing(tiny_run):
    first, second = tiny_run.curves["train_loss"][:2]
    assert first == second
    assert tiny_run.curves["train_loss"][2] != second


def test_without_gradient_weights_shrink_by_the_decoupled_decay(tmp_path):
    """Trained on (0, 0) alone, the embedding of every other token has no gradient."""
    config = dataclasses.replace(
        tiny.config(),
        task=TaskSpec(p=13, train_fraction=1.5 / 169),
        optimizer=OptimizerSpec(learning_rate=1e-2, weight_decay=0.5, warmup_steps=0),
        n_steps=8,
        checkpoint_every=8,
    )
    run = train(config, tmp_path / "run", progress=False)
    trained_on = set(run.task.pairs[run.split.train].ravel())
    others = [token for token in range(13) if token not in trained_on]
    start, end = run.parameters(0)["embed.W_E"][others], run.parameters(8)["embed.W_E"][others]
    torch.testing.assert_close(end, start * (1 - 1e-2 * 0.5) ** 8, rtol=1e-6, atol=0)


def test_one_update_is_that_of_torch_adamw(tmp_path):
    config = dataclasses.replace(
        tiny.config(), n_steps=1, optimizer=OptimizerSpec(learning_rate=1e-2, warmup_steps=0)
    )
    run = train(config, tmp_path / "run", progress=False)
    parameters = initial_parameters(run.spec, d_vocab=14, n_ctx=3, d_vocab_out=13)
    trained = [v.requires_grad_() for n, v in parameters.items() if not n.endswith(("b_Q", "b_K"))]
    optimizer = torch.optim.AdamW(trained, lr=1e-2, betas=(0.9, 0.98), weight_decay=1.0)
    rows = run.split.train
    logits = transformer_logits(parameters, torch.tensor(run.task.tokens[rows]), run.spec)[:, -1]
    F.cross_entropy(logits.double(), torch.tensor(run.task.labels[rows])).backward()
    optimizer.step()
    for name in ("embed.W_E", "blocks.0.attn.W_V", "blocks.0.mlp.W_in", "unembed.W_U"):
        # Adam divides by |gradient|: entries near zero amplify rounding, up to the step size.
        close = torch.isclose(run.parameters(1)[name], parameters[name], rtol=1e-3, atol=1e-5)
        assert close.float().mean() > 0.999, name
    assert not run.parameters(1)["blocks.0.attn.b_V"].any()


def test_the_same_config_gives_the_same_bits(tiny_run, tiny_config, tmp_path):
    assert same_bits(tiny_run, train(tiny_config, tmp_path / "again", progress=False))


def test_another_seed_gives_another_run(tiny_run, tmp_path):
    base = tiny.config(n_steps=40)
    config = dataclasses.replace(base, model=dataclasses.replace(base.model, init_seed=1))
    other = train(config, tmp_path / "run", progress=False)
    assert other.checksum(40) != tiny_run.checksum(40)


def test_a_finished_run_is_returned_as_it_is(tiny_run, tiny_config):
    before = {p: p.stat().st_mtime_ns for p in tiny_run.folder.rglob("step_*.safetensors")}
    again = train(tiny_config, tiny_run.folder, progress=False)
    assert same_bits(tiny_run, again)
    assert {p: p.stat().st_mtime_ns for p in tiny_run.folder.rglob("step_*.safetensors")} == before


def test_a_larger_number_of_steps_extends_a_run_to_the_same_bits(tiny_run, tmp_path):
    folder = tmp_path / "run"
    train(tiny.config(n_steps=160), folder, progress=False)
    assert same_bits(tiny_run, train(tiny.config(n_steps=400), folder, progress=False))


def test_fewer_steps_than_there_are_is_refused(tiny_run):
    with pytest.raises(RunFolderError, match="n_steps=400, more than 40"):
        train(tiny.config(n_steps=40), tiny_run.folder, progress=False)


def test_another_config_is_refused_and_nothing_is_overwritten(tiny_run):
    before = (tiny_run.folder / "config.json").read_bytes()
    with pytest.raises(RunFolderError, match="task.p is 13 there, 11 here"):
        train(tiny.config(p=11), tiny_run.folder, progress=False)
    assert (tiny_run.folder / "config.json").read_bytes() == before


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(RunFolderError, match="holds no run of grokinterp .*thesis.tex"):
        train(tiny.config(), tmp_path, progress=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["thesis.tex"]


def test_a_folder_with_only_our_leftovers_starts(tmp_path):
    (tmp_path / ".lock").touch()
    (tmp_path / ".writing-abc").write_text("half a file")
    run = train(tiny.config(n_steps=4), tmp_path, progress=False)
    assert run.steps[-1] == 4
    assert not list(tmp_path.glob(".writing-*"))


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(RunFolderError, match="cannot make the folder"):
        train(tiny.config(), tmp_path / "run", progress=False)


def test_a_second_trainer_on_the_same_folder_is_refused(tmp_path):
    from grokinterp.runs.atomic import exclusive_lock

    with exclusive_lock(tmp_path), pytest.raises(RunFolderError, match="another process"):
        train(tiny.config(), tmp_path, progress=False)


SCRIPT = """
import sys, torch
torch.set_num_threads(1)
from grokinterp.training import train
from tests import tiny
train(tiny.config(n_steps=1500), sys.argv[1], progress=False)
"""


@pytest.mark.faults
def test_a_killed_run_goes_on_to_the_bits_of_an_undisturbed_one(tmp_path):
    config = tiny.config(n_steps=1500)
    undisturbed = train(config, tmp_path / "whole", progress=False)
    folder = tmp_path / "killed"
    for wanted in (4, 15, 30):
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)])
        index = folder / "checkpoints" / "index.csv"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            if index.exists() and index.read_text().count("\n") > wanted:
                break
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        reported = load_run(folder)
        for step in reported.steps:
            assert reported.checksum(step) == undisturbed.checksum(step)
            reported.parameters(step)
    assert same_bits(undisturbed, train(config, folder, progress=False))


def test_a_half_written_line_does_not_spoil_the_continuation(tiny_run, tmp_path):
    folder = tmp_path / "run"
    train(tiny.config(n_steps=160), folder, progress=False)
    for name in ("curves.csv", "timing.csv", "checkpoints/index.csv"):
        with (folder / name).open("a") as file:
            file.write("161,0.00")
    assert load_run(folder).curves["step"].iloc[-1] == 160
    assert same_bits(tiny_run, train(tiny.config(), folder, progress=False))


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_its_checkpoints(tmp_path):
    config = tiny.config(optimizer=OptimizerSpec(learning_rate=1e18, warmup_steps=0))
    run = train(config, tmp_path / "run", progress=False)
    assert run.diverged_at is not None and run.diverged_at == run.last_step < 400
    assert run.steps and run.steps[-1] < run.diverged_at
    assert all(torch.isfinite(v).all() for v in run.parameters().values())
    again = train(config, tmp_path / "run", progress=False)
    pd.testing.assert_frame_equal(again.curves, run.curves)


def test_a_damaged_resume_file_is_named_with_a_way_out(tmp_path):
    folder = tmp_path / "run"
    train(tiny.config(n_steps=40), folder, progress=False)
    (folder / "resume.safetensors").write_bytes(b"\x00" * 30)
    with pytest.raises(CheckpointError, match=r"resume.safetensors is damaged"):
        train(tiny.config(), folder, progress=False)
    assert load_run(folder).steps[-1] == 40


def test_another_thread_count_on_resume_is_warned_of(tmp_path, caplog):
    folder = tmp_path / "run"
    train(tiny.config(n_steps=40), folder, n_threads=2, progress=False)
    with caplog.at_level("WARNING"):
        run = train(tiny.config(n_steps=80), folder, n_threads=1, progress=False)
    said = "this run was started with other settings of the machine (n_threads 2 -> 1): its"
    assert said in caplog.text and "elsewhere" not in caplog.text
    assert run.environment["resumed_with"][0]["n_threads"] == 1
    assert torch.get_num_threads() == 1


def test_another_machine_on_resume_is_warned_of(tmp_path, caplog):
    folder = tmp_path / "run"
    train(tiny.config(n_steps=40), folder, progress=False)
    path = folder / "environment.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"platform": "Plan9 vax"}))
    with caplog.at_level("WARNING"):
        train(tiny.config(n_steps=80), folder, progress=False)
    assert "this run was started elsewhere (platform Plan9 vax -> " in caplog.text


def test_training_neither_reads_nor_changes_the_global_random_state(tmp_path):
    torch.manual_seed(5)
    np_state = np.random.get_state()[1].copy()  # noqa: NPY002 (the global state is the subject)
    before = torch.random.get_rng_state()
    train(tiny.config(n_steps=4), tmp_path / "run", progress=False)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], np_state)  # noqa: NPY002


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"act_fn": "gelu"}, "act_fn=gelu"), ({"n_layers": 2}, "n_layers=2")],
)
def test_networks_beyond_the_fast_step_train_by_autograd_and_say_so(tmp_path, changes, reason):
    base = tiny.config(n_steps=60)
    config = dataclasses.replace(base, model=dataclasses.replace(base.model, **changes))
    run = train(config, tmp_path / "run", progress=False)
    assert run.environment["training_step"].startswith(f"autograd (no pair tables: {reason}")
    assert run.curves["train_loss"].iloc[-1] < run.curves["train_loss"].iloc[0]


@pytest.mark.parametrize("operation", ["subtraction", "multiplication", "division"])
def test_every_operation_trains(tmp_path, operation):
    run = train(tiny.config(operation, n_steps=150), tmp_path / "run", progress=False)
    assert run.curves["train_loss"].iloc[-1] < 0.5 * run.curves["train_loss"].iloc[0]


@pytest.mark.parametrize("p", [2, 3, 12])
def test_small_and_composite_moduli_train(tmp_path, p):
    base = tiny.config(p=p, n_steps=20)
    run = train(base, tmp_path / "run", progress=False)
    assert np.isfinite(run.curves["train_loss"]).all()


def test_the_demo_follows_its_published_curve_for_100_steps(tmp_path):
    """Losses that the notebook printed: epoch e trains at step e and tests at step e + 1."""
    config = dataclasses.replace(PRESETS["tl_demo"], n_steps=100)
    curves = train(config, tmp_path / "run", progress=False).curves.set_index("step")
    assert f"{curves['train_loss'][0]:.4f}" == "4.7350"
    assert f"{curves['test_loss'][0]:.4f}" == "4.7333"
    assert curves["train_loss"][99] == pytest.approx(2.9478, rel=0.01)
    assert curves["test_loss"][100] == pytest.approx(7.5546, rel=0.01)


def test_a_full_disk_ends_in_one_line_and_the_run_goes_on_later(tmp_path):
    """A file size limit of the process stands for the full disk: writes fail in the same way."""
    folder = tmp_path / "run"
    train(tiny.config(n_steps=40), folder, progress=False)
    script = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n" + SCRIPT
    ).replace("n_steps=1500", "n_steps=400")
    result = subprocess.run(
        [sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=False
    )
    last = result.stderr.strip().splitlines()[-1]
    assert result.returncode == 1
    assert "RunFolderError: cannot write" in last and "File too large" in last
    assert not list(folder.rglob(".writing-*"))
    kept = load_run(folder)
    assert kept.steps[-1] == 40
    kept.parameters()
    assert train(tiny.config(n_steps=400), folder, progress=False).steps[-1] == 400


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into a read-only folder")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(RunFolderError, match="cannot"):
        train(tiny.config(), tmp_path / "run", progress=False)


def test_a_vanished_split_is_named(tiny_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(tiny_run.folder, folder)
    (folder / "split.safetensors").write_bytes(b"no split")
    with pytest.raises(RunFolderError, match=r"cannot read .*split.safetensors"):
        load_run(folder)


def test_common_names_do_not_make_a_foreign_folder_ours(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "model.pt").write_text("weights")
    (tmp_path / "curves.csv").write_text("epoch,loss\n1,2\n")
    with pytest.raises(RunFolderError, match="holds no run of grokinterp"):
        train(tiny.config(), tmp_path, progress=False)
    assert (tmp_path / "curves.csv").read_text() == "epoch,loss\n1,2\n"
    assert (tmp_path / "checkpoints" / "model.pt").read_text() == "weights"


@pytest.mark.parametrize("damage", ["gone", "short"])
@pytest.mark.parametrize("n_steps", [40, 80])
def test_curves_that_lost_rows_are_neither_believed_nor_erased(tmp_path, damage, n_steps):
    train(tiny.config(n_steps=40), tmp_path, progress=False)
    path = tmp_path / "curves.csv"
    if damage == "gone":
        path.unlink()
    else:
        path.write_text("\n".join(path.read_text().splitlines()[:20]) + "\n")
    with pytest.raises(RunFolderError, match=r"curves.csv ends before step 40"):
        train(tiny.config(n_steps=n_steps), tmp_path, progress=False)
    assert path.exists() == (damage == "short")


def test_a_finished_run_without_its_last_checkpoint_line_is_not_called_finished(tmp_path):
    train(tiny.config(n_steps=40), tmp_path, progress=False)
    index = tmp_path / "checkpoints" / "index.csv"
    index.write_text("\n".join(index.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(RunFolderError, match="does not list step 40"):
        train(tiny.config(n_steps=40), tmp_path, progress=False)


def test_a_finished_run_is_returned_without_writing(tmp_path):
    from grokinterp.runs.atomic import exclusive_lock

    train(tiny.config(n_steps=20), tmp_path, progress=False)
    with exclusive_lock(tmp_path):
        assert train(tiny.config(n_steps=20), tmp_path, progress=False).last_step == 20


def test_a_resume_file_of_another_network_is_damage(tmp_path):
    from safetensors.torch import save_file

    train(tiny.config(n_steps=40), tmp_path, progress=False)
    resume = tmp_path / "resume.safetensors"
    save_file({"other": torch.zeros(2)}, resume, metadata={"step": "40"})
    with pytest.raises(CheckpointError, match="is damaged"):
        train(tiny.config(n_steps=80), tmp_path, progress=False)


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"n_threads": 0}, "n_threads=0"),
        ({"n_threads": -1}, "n_threads=-1"),
        ({"device": "abacus"}, "device='abacus' cannot be used"),
        ({"device": "meta"}, "device='meta' cannot be used"),
    ],
)
def test_a_machine_that_is_not_there_is_refused_before_anything_is_written(
    tmp_path, named, message
):
    with pytest.raises(ConfigError, match=message):
        train(tiny.config(), tmp_path / "run", progress=False, **named)
    assert not (tmp_path / "run").exists()


def test_a_two_token_network_trains_checkpoints_and_is_analyzed(tmp_path):
    from grokinterp.trajectory import analyze_run

    model = dataclasses.replace(
        tiny.config().model, input_format="a_b", attention_dir="bidirectional", attention_rate=0.5
    )
    config = dataclasses.replace(tiny.config(), model=model, n_steps=200, checkpoint_every=100)
    run = train(config, tmp_path / "run", progress=False)
    assert run.environment["training_step"].startswith(
        "autograd (no pair tables: input_format=a_b, attention_rate=0.5)"
    )
    assert run.parameters(200)["embed.W_E"].shape == (13, 32)
    assert run.parameters(200)["pos_embed.W_pos"].shape == (2, 32)
    loss = run.curves["train_loss"]
    assert loss.iloc[0] > 2 and loss.iloc[-1] < 0.1
    pairs = torch.tensor(run.task.pairs[run.split.train])
    logits = transformer_logits(run.parameters(), pairs, run.spec)[:, -1]
    labels = torch.tensor(run.task.labels[run.split.train])
    expected = F.cross_entropy(logits.double(), labels).item()
    assert loss.iloc[-1] == pytest.approx(expected, rel=1e-4)
    final = analyze_run(run).summary["final"]
    assert final["train_loss"] == pytest.approx(expected, rel=1e-4)


def test_an_unfinished_parent_is_refused(tiny_run, tmp_path):
    """Stopped at a checkpoint, its last weights and its last curve row agree."""
    config = dataclasses.replace(tiny_run.config, n_steps=800)
    half = dataclasses.replace(tiny_run, config=config)
    child = tiny.config(n_steps=10, parent=config)
    with pytest.raises(ConfigError, match="not finished: it has 400 of 800 steps"):
        train(child, tmp_path / "run", progress=False, parent=half)
    assert not (tmp_path / "run").exists()


def test_a_parent_that_stopped_early_is_finished(tiny_run, tmp_path):
    config = dataclasses.replace(tiny_run.config, n_steps=800, stop_accuracy=0.0, stop_patience=400)
    stopped = dataclasses.replace(
        tiny_run, config=config, curves=tiny_run.curves.assign(test_accuracy=0.5)
    )
    child = tiny.config(n_steps=2, parent=config)
    assert train(child, tmp_path / "run", progress=False, parent=stopped).last_step == 2


def test_a_parent_with_another_network_is_refused_and_named(tiny_run, tmp_path):
    child = tiny.config(p=11, n_steps=10, parent=tiny_run.config)
    with pytest.raises(ConfigError, match=r"embed.W_E is \(14, 32\) there, \(12, 32\) here"):
        train(child, tmp_path / "run", progress=False, parent=tiny_run)


@pytest.mark.parametrize(
    ("field", "fixed", "free"),
    [("positions", "none", "learned"), ("tied_embeddings", True, False)],
)
def test_a_parent_that_trained_what_the_network_holds_fixed_is_refused(
    tmp_path, field, fixed, free
):
    parents = {}
    for value in (fixed, free):
        model = dataclasses.replace(tiny.config().model, **{field: value})
        config = tiny.config(model=model, n_steps=2)
        parents[value] = train(config, tmp_path / str(value), progress=False)
    holds = dataclasses.replace(parents[fixed].config, parent=parents[free].config)
    with pytest.raises(ConfigError, match=f"{field} is {free} there, {fixed} here"):
        train(holds, tmp_path / "refused", progress=False, parent=parents[free])
    trains = dataclasses.replace(parents[free].config, parent=parents[fixed].config)
    child = train(trains, tmp_path / "child", progress=False, parent=parents[fixed])
    assert child.parameters(0).keys() == parents[fixed].parameters().keys()
    same = dataclasses.replace(parents[fixed].config, parent=parents[fixed].config)
    assert train(same, tmp_path / "same", progress=False, parent=parents[fixed]).last_step == 2


def test_a_parent_that_diverged_is_refused_as_such(tiny_run, tmp_path):
    curves = tiny_run.curves.copy()
    curves.loc[400, "train_loss"] = float("nan")
    diverged = dataclasses.replace(tiny_run, curves=curves)
    child = tiny.config(n_steps=10, parent=tiny_run.config)
    with pytest.raises(ConfigError, match="diverged at step 400"):
        train(child, tmp_path / "run", progress=False, parent=diverged)


def test_a_run_that_was_extended_stops_where_one_that_never_ended_does(tmp_path):
    """The test at the end of the short run, at step 15, is none of the regular ones."""
    stop = {"stop_accuracy": 0.0, "stop_patience": 10, "test_every": 20, "checkpoint_every": 5}
    task = dataclasses.replace(tiny.config().task, split_seed=1)
    config = tiny.config(n_steps=100, task=task, **stop)
    short = train(dataclasses.replace(config, n_steps=15), tmp_path / "parts", progress=False)
    whole = train(config, tmp_path / "whole", progress=False)
    parts = train(config, tmp_path / "parts", progress=False)
    assert short.last_step == 15 and whole.last_step == parts.last_step < 100


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_run_on_a_device_goes_on_with_its_filter_and_its_moments(tmp_path):
    from grokinterp.runs import PressureSpec

    pressures = PressureSpec(grokfast="ma", grokfast_window=7)
    config = tiny.config(n_steps=20, checkpoint_every=10, pressures=pressures)
    whole = train(config, tmp_path / "whole", device="cuda", progress=False)
    short = dataclasses.replace(config, n_steps=10)
    train(short, tmp_path / "parts", device="cuda", progress=False)
    parts = train(config, tmp_path / "parts", device="cuda", progress=False)
    assert parts.curves["train_loss"].iloc[-1] == pytest.approx(
        whole.curves["train_loss"].iloc[-1], rel=1e-3
    )


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (
            "Could not run 'aten::empty' with arguments from the 'MPS' backend. It is only " * 20,
            "device='mps' cannot be used: this installation of torch does not support it. Use cpu.",
        ),
        (
            "Found no NVIDIA driver on your system. Please check that you have one.\nAnd more.",
            "device='mps' cannot be used: Found no NVIDIA driver on your system. Use cpu.",
        ),
    ],
)
def test_a_device_that_is_not_there_is_said_in_a_sentence(tmp_path, monkeypatch, said, line):
    def refuse(*_, **__):
        raise RuntimeError(said)

    monkeypatch.setattr(torch, "zeros", refuse)
    with pytest.raises(ConfigError) as caught:
        train(tiny.config(), tmp_path / "run", device="mps", progress=False)
    assert str(caught.value) == line
