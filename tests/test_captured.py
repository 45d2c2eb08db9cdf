"""Captured steps, driven on the CPU by a graph that records the operations of torch."""

import dataclasses
import json

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from grokinterp.models import ModelSpec
from grokinterp.runs import OptimizerSpec, PressureSpec
from grokinterp.training import captured
from tests import tiny
from tests.test_devices import assert_same_bits, trained, waiting

LINEAR = OptimizerSpec(schedule="linear", schedule_steps=30)
TWO_LAYERS = ModelSpec(d_model=16, n_heads=2, d_head=8, d_mlp=24, n_layers=2)


class Recording(TorchDispatchMode):
    def __init__(self, calls):
        super().__init__()
        self.calls = calls

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, out))
        return out


class RecordedGraph:
    """Does what was recorded on the same tensors, without the Python around it."""

    n_replays = 0

    def __init__(self):
        self.calls, self.is_done = [], False

    def warm_up(self, work):
        work()

    def capture(self, work):
        with Recording(self.calls):
            work()
        # Recording here does the work too: the first replay has nothing left to do.
        self.is_done = True

    def replay(self):
        RecordedGraph.n_replays += 1
        if self.is_done:
            self.is_done = False
            return
        with torch.no_grad():
            for func, args, kwargs, out in self.calls:
                again = func(*args, **kwargs)
                for old, new in zip(tree_leaves(out), tree_leaves(again), strict=True):
                    if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)


@pytest.fixture
def on_graphs(monkeypatch):
    """Let the CPU have graphs."""

    def enable(graph=RecordedGraph):
        RecordedGraph.n_replays = 0
        monkeypatch.setattr(captured, "CudaGraph", graph)
        reason = captured.why_not_captured
        monkeypatch.setattr(captured, "why_not_captured", lambda c, d: reason(c, "cuda"))

    return enable


CASES = {
    "adamw": {},
    "warm-up": {"optimizer": OptimizerSpec(warmup_steps=10)},
    "sgd": {"optimizer": OptimizerSpec(algorithm="sgd", momentum=0.9)},
    "ema": {"pressures": PressureSpec(grokfast="ema", perp_grad=True, clamp_norm=True)},
    "init": {"optimizer": OptimizerSpec(decay_towards="init", weight_decay=1.0)},
    "decay on some": {"optimizer": OptimizerSpec(decayed=("W_in", "W_out"))},
}


@pytest.mark.parametrize("changes", CASES.values(), ids=CASES)
def test_captured_steps_have_the_bits_of_plain_ones_also_after_a_resume(
    tmp_path, on_graphs, changes
):
    config = tiny.config(
        model=TWO_LAYERS, n_steps=40, test_every=15, checkpoint_every=20, **changes
    )
    plain = trained(config, tmp_path / "plain")
    on_graphs()
    assert_same_bits(trained(config, tmp_path / "captured"), plain)
    n_plain = max(captured.PLAIN_STEPS, config.optimizer.warmup_steps)
    assert RecordedGraph.n_replays == 2 * (40 - n_plain) + 1
    trained(dataclasses.replace(config, n_steps=20), tmp_path / "parts")
    parts = trained(config, tmp_path / "parts")
    whole = plain[1].copy()
    whole.loc[20, parts[1].columns[parts[1].columns != "train_loss"]] = parts[1].loc[20]
    assert_same_bits((None, parts[1], parts[2]), (None, whole, plain[2]))


def test_a_schedule_has_its_rates_where_graphs_are_to_be_had(tmp_path, on_graphs):
    config = tiny.config(model=TWO_LAYERS, n_steps=40, optimizer=LINEAR)
    plain = trained(config, tmp_path / "plain")
    on_graphs()
    assert_same_bits(trained(config, tmp_path / "graphs"), plain)
    assert RecordedGraph.n_replays == 0


def test_a_loss_of_a_graph_that_is_read_later_is_that_of_its_step(tmp_path, on_graphs, monkeypatch):
    config = tiny.config(model=TWO_LAYERS, n_steps=20, test_every=20, checkpoint_every=20)
    plain = trained(config, tmp_path / "plain")
    on_graphs()
    n_reads = waiting(monkeypatch)
    assert_same_bits(trained(config, tmp_path / "captured"), plain)
    assert max(n_reads) > captured.PLAIN_STEPS


@pytest.mark.parametrize("fails_at", [1, 2])
def test_a_capture_that_fails_leaves_a_plain_run_that_says_why(
    tmp_path, on_graphs, fails_at, caplog
):
    config = tiny.config(model=TWO_LAYERS, n_steps=12, test_every=6, checkpoint_every=6)
    plain = trained(config, tmp_path / "plain")
    n_captures = []

    class Failing(RecordedGraph):
        def capture(self, work):
            n_captures.append(1)
            if len(n_captures) == fails_at:
                raise RuntimeError("operation not permitted. More about it.")
            super().capture(work)

    on_graphs(Failing)
    assert_same_bits(trained(config, tmp_path / "failed"), plain)
    assert "not captured: operation not permitted" in caplog.text
    environment = json.loads((tmp_path / "failed/environment.json").read_text())
    assert "(not captured: operation not permitted" in json.dumps(environment)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"pressures": PressureSpec(dropout=0.1)}, "dropout=0.1"),
        ({"pressures": PressureSpec(gradient_noise=1e-3)}, "gradient_noise=0.001"),
        ({"pressures": PressureSpec(grokfast="ma")}, "grokfast=ma"),
        ({"optimizer": LINEAR}, "schedule=linear changes the learning rate"),
        ({"optimizer": OptimizerSpec(algorithm="muon")}, "algorithm=muon"),
    ],
)
def test_what_a_graph_would_fix_is_not_captured(changes, word):
    config = tiny.config(**changes)
    assert word in captured.why_not_captured(config, "cuda")
    assert word in captured.capture_name("autograd", config, "cuda:0")
    assert captured.why_not_captured(tiny.config(), "cuda") is None
    assert captured.capture_name("autograd", tiny.config(), "cuda") == "autograd, captured"
    assert captured.capture_name("autograd", config, "cpu") == "autograd"
