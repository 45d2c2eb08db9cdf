"""Learning rates over the steps, weight decay on chosen weights, and Muon."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from grokinterp.errors import ConfigError, FailedRunsError
from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.runs import PRESETS, OptimizerSpec, TrainConfig
from grokinterp.runs.optimizer import hidden_matrices
from grokinterp.tasks import TaskSpec
from grokinterp.training import batched_ways, kernel_choice, train, train_many
from grokinterp.training.modifiers import modifiers_of
from grokinterp.training.optimizer import build_optimizer, learning_rate_at
from tests import tiny
from tests.test_training import same_bits

COSINE = OptimizerSpec(0.02, warmup_steps=8, schedule="cosine", schedule_steps=40)
LINEAR = dataclasses.replace(COSINE, schedule="linear", final_learning_rate=0.005)


# --- schedules ----------------------------------------------------------------------------


def rates_of_torch(make, n_steps, learning_rate=0.02):
    """Learning rate of every step by one of torch's schedulers."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=learning_rate)
    scheduler = make(optimizer)
    rates = []
    for _ in range(n_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("final", [0.0, 0.005])
def test_the_cosine_is_that_of_torch_from_the_end_of_the_warm_up(final):
    spec = dataclasses.replace(COSINE, final_learning_rate=final)
    expected = rates_of_torch(
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=32, eta_min=final), 33
    )
    found = [learning_rate_at(spec, step) for step in range(8, 41)]
    # Torch builds its rates up by products, thirty of them.
    assert found == pytest.approx(expected, rel=1e-11, abs=1e-15)
    assert found[16] == pytest.approx((0.02 + final) / 2, rel=1e-12)


def test_the_line_and_the_warm_up_are_those_of_torch():
    def factor(step):
        return step / 8 if step < 8 else max(1 - (step - 8) / 32, 0) * 0.75 + 0.25

    expected = rates_of_torch(lambda o: torch.optim.lr_scheduler.LambdaLR(o, factor), 60)
    found = [learning_rate_at(LINEAR, step) for step in range(60)]
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("spec", [COSINE, LINEAR], ids=["cosine", "linear"])
def test_a_schedule_begins_with_the_whole_rate_and_keeps_its_last(spec):
    rates = [learning_rate_at(spec, step) for step in range(60)]
    assert rates[0] == 0.0 and rates[4] == 0.02 * 0.5
    assert rates[8] == 0.02 == max(rates)
    assert all(rates[step] > rates[step + 1] for step in range(8, 40))
    assert rates[39] > spec.final_learning_rate
    assert rates[40:] == [spec.final_learning_rate] * 20


def test_without_a_schedule_the_rate_stays_after_the_warm_up():
    spec = OptimizerSpec(0.02, warmup_steps=8)
    assert [learning_rate_at(spec, step) for step in (0, 2, 7)] == [0.0, 0.005, 0.02 * 7 / 8]
    assert {learning_rate_at(spec, step) for step in (8, 9, 10**6)} == {0.02}
    assert learning_rate_at(dataclasses.replace(spec, warmup_steps=0), 0) == 0.02


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_every_update_of_a_run_has_the_rate_of_its_step(tmp_path, schedule):
    """Trained on one pair, the embedding of every other token moves by its decay alone."""
    of_schedule = {} if schedule == "constant" else {"schedule": schedule, "schedule_steps": 12}
    config = tiny.config(
        task=TaskSpec(p=13, train_fraction=1.5 / 169),
        optimizer=OptimizerSpec(1e-2, weight_decay=0.5, warmup_steps=3, **of_schedule),
        n_steps=16,
        checkpoint_every=16,
    )
    run = train(config, tmp_path / "run", progress=False)
    trained_on = set(run.task.pairs[run.split.train].ravel())
    others = [token for token in range(13) if token not in trained_on]
    start, end = run.parameters(0)["embed.W_E"][others], run.parameters(16)["embed.W_E"][others]
    shrunk = math.prod(1 - 0.5 * learning_rate_at(config.optimizer, step) for step in range(16))
    # The rates add up to 14 times the largest if they stay, to about half of that if they fall.
    assert 1 - shrunk == pytest.approx(0.068 if schedule == "constant" else 0.027, rel=0.1)
    torch.testing.assert_close(end, start * shrunk, rtol=2e-6, atol=0)


@pytest.mark.parametrize("spec", [COSINE, LINEAR], ids=["cosine", "linear"])
def test_a_run_with_a_schedule_that_is_extended_has_the_bits_of_a_whole_one(tmp_path, spec):
    config = tiny.config(n_steps=60, checkpoint_every=20, optimizer=spec)
    whole = train(config, tmp_path / "whole", progress=False)
    for n_steps in (20, 40, 60):
        parts = train(
            dataclasses.replace(config, n_steps=n_steps), tmp_path / "parts", progress=False
        )
    assert same_bits(parts, whole)
    # A final rate of 0 leaves the weights alone, any other moves them on.
    assert (whole.checksum(40) == whole.checksum(60)) is (spec.final_learning_rate == 0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schedule": "cosine"}, "schedule=cosine needs schedule_steps"),
        ({"schedule": "linear", "schedule_steps": 10}, "The warm-up takes 10 steps"),
        ({"schedule": "linear", "schedule_steps": 0, "warmup_steps": 0}, "schedule_steps=0 is not"),
        ({"schedule_steps": 100}, "belongs to schedule=linear or cosine"),
        ({"final_learning_rate": 1e-4}, "belongs to schedule=linear or cosine"),
        (
            {"schedule": "linear", "schedule_steps": 99, "final_learning_rate": 0.01},
            "Use a value from 0 to learning_rate=0.001",
        ),
        (
            {"schedule": "linear", "schedule_steps": 99, "final_learning_rate": -1e-4},
            "final_learning_rate=-0.0001 is not allowed",
        ),
    ],
)
def test_a_schedule_that_means_nothing_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        OptimizerSpec(**fields)


def test_the_smallest_schedule_and_the_largest_final_rate_are_taken():
    spec = OptimizerSpec(0.1, schedule="linear", schedule_steps=11, final_learning_rate=0.1)
    assert [learning_rate_at(spec, step) for step in (10, 11, 12)] == [0.1, 0.1, 0.1]


# --- decay on chosen weights --------------------------------------------------------------


def weights():
    """Four matrices with gradients, under names of a transformer."""
    generator = torch.Generator().manual_seed(0)
    made = {}
    for name in ("embed.W_E", "blocks.0.mlp.W_in", "blocks.1.mlp.W_in", "unembed.W_U"):
        made[name] = torch.randn(4, 3, generator=generator).requires_grad_()
        made[name].grad = torch.randn(4, 3, generator=generator)
    return made


def after_steps(spec):
    """The matrices after three updates, each with the same gradient."""
    made = weights()
    optimizer = build_optimizer(spec, made)
    started = {name: value.detach() + 1 for name, value in made.items()}
    pieces = modifiers_of(TrainConfig(model=ModelSpec(n_layers=2), optimizer=spec), started)
    gradients = {name: value.grad.clone() for name, value in made.items()}
    for step in range(3):
        for name, value in made.items():
            value.grad.copy_(gradients[name])
        for piece in pieces:
            piece.change_gradients(made, step, spec.learning_rate)
        optimizer.step()
    return {name: value.detach() for name, value in made.items()}


@pytest.mark.parametrize("algorithm", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("target", ["zero", "init"])
@pytest.mark.parametrize(
    "decayed", [("W_in",), ("embed.W_E", "W_U"), ("blocks.1.mlp.W_in",)], ids=" ".join
)
def test_chosen_weights_move_as_with_decay_and_all_others_as_without(algorithm, target, decayed):
    spec = OptimizerSpec(0.01, 0.5, algorithm=algorithm, decay_towards=target, decayed=decayed)
    found = after_steps(spec)
    every = after_steps(dataclasses.replace(spec, decayed=None))
    none = after_steps(dataclasses.replace(spec, weight_decay=0.0))
    for name, value in found.items():
        is_chosen = name in decayed or name.rsplit(".", 1)[-1] in decayed
        assert torch.equal(value, (every if is_chosen else none)[name]), name
        assert not torch.equal(value, (none if is_chosen else every)[name]), name


def test_all_weights_named_is_the_same_as_none_named():
    spec = OptimizerSpec(0.01, 0.5)
    names = ("W_E", "W_in", "W_U")
    assert len(build_optimizer(spec, weights()).param_groups) == 1
    every, named = after_steps(spec), after_steps(dataclasses.replace(spec, decayed=names))
    assert all(torch.equal(every[name], named[name]) for name in every)


def test_a_run_decays_what_was_chosen_and_goes_on_with_the_same_bits(tmp_path):
    """Trained on one pair, the embedding of every other token moves by its decay alone."""
    config = tiny.config(
        task=TaskSpec(p=13, train_fraction=1.5 / 169), n_steps=30, checkpoint_every=10
    )
    moves = {}
    for decayed in (None, ("embed.W_E",), ("W_in", "W_out")):
        optimizer = OptimizerSpec(1e-2, weight_decay=0.5, decayed=decayed)
        config = dataclasses.replace(config, optimizer=optimizer)
        run = train(config, tmp_path / str(decayed), progress=False)
        trained_on = set(run.task.pairs[run.split.train].ravel())
        others = [token for token in range(13) if token not in trained_on]
        before, after = (run.parameters(step)["embed.W_E"][others] for step in (0, 30))
        moves[decayed] = (after / before).mean().item()
    shrunk = math.prod(1 - 0.005 * min(step / 10, 1) for step in range(30))
    assert list(moves.values()) == pytest.approx([shrunk, shrunk, 1.0], rel=1e-5)
    train(dataclasses.replace(config, n_steps=10), tmp_path / "parts", progress=False)
    assert same_bits(train(config, tmp_path / "parts", progress=False), run)


NORMED = ModelSpec(d_model=8, n_heads=1, d_head=8, d_mlp=8, normalization="LN", n_layers=2)


@pytest.mark.parametrize(
    ("model", "decayed", "expected"),
    [
        (NORMED, ("W_pos",), ["pos_embed.W_pos"]),
        (NORMED, ("W_in",), ["blocks.0.mlp.W_in", "blocks.1.mlp.W_in"]),
        (NORMED, ("ln_final.w", "blocks.1.attn.W_Q"), ["blocks.1.attn.W_Q", "ln_final.w"]),
        (MlpSpec(widths=(8, 8)), ("W",), ["layers.0.W", "layers.1.W", "layers.2.W"]),
        (MlpSpec(widths=(8, 8)), ("layers.1.W",), ["layers.1.W"]),
        (MlpSpec(embedding="separate"), ("W_A",), ["embed.W_A"]),
        (MlpSpec(biases=True), ("b",), ["layers.0.b", "layers.1.b"]),
        # The readout stays as it is, and what stays has no decay.
        (MlpSpec(trains_readout=False), ("W",), ["layers.0.W"]),
    ],
)
def test_names_in_full_or_by_their_last_part_name_weights_of_the_network(model, decayed, expected):
    from grokinterp.runs.optimizer import _names_of

    config = TrainConfig(model=model, optimizer=OptimizerSpec(decayed=decayed))
    assert list(config.optimizer.decayed_names(*_names_of(model))) == expected


@pytest.mark.parametrize(
    ("model", "decayed", "message"),
    [
        (ModelSpec(), ("W_X",), "decayed='W_X' is no weight of this network. Choose from W_E, W_"),
        (ModelSpec(), ("W_E", "layers.0.W"), "decayed='layers.0.W' is no weight"),
        (ModelSpec(), ("mlp.W_in",), "decayed='mlp.W_in' is no weight"),
        (ModelSpec(), ("b_Q",), "decayed='b_Q' is not trained. Choose from W_E"),
        (ModelSpec(tied_embeddings=True), ("W_U",), "decayed='W_U' is not trained"),
        (ModelSpec(attn_only=True), ("W_in",), "decayed='W_in' is no weight"),
        (MlpSpec(), ("W_E",), "decayed='W_E' is no weight of this network. Choose from W, or in"),
        (MlpSpec(trains_readout=False), ("layers.1.W",), "decayed='layers.1.W' is not trained"),
    ],
)
def test_a_name_that_is_no_trained_weight_of_the_network_is_refused(model, decayed, message):
    optimizer = OptimizerSpec(decayed=decayed)
    with pytest.raises(ConfigError, match=message):
        TrainConfig(model=model, optimizer=optimizer)


def test_a_choice_of_weights_has_one_name_and_is_read_back():
    spec = OptimizerSpec(decayed=("W_U", "W_E", "W_U"))
    assert spec == OptimizerSpec(decayed=("W_E", "W_U"))
    config = TrainConfig(optimizer=spec)
    assert TrainConfig.from_dict(config.to_dict()) == config
    assert config.hash() != TrainConfig().hash()
    with pytest.raises(ConfigError, match="decayed=.. is not allowed. Name at least one"):
        OptimizerSpec(decayed=())
    table = PRESETS["quick"].to_dict()
    table["optimizer"]["decayed"] = ["W_E", "nothing"]
    with pytest.raises(ConfigError, match="decayed='nothing' is no weight"):
        TrainConfig.from_dict(table)


# --- Muon ---------------------------------------------------------------------------------

MUON = OptimizerSpec(0.02, 0.5, algorithm="muon", warmup_steps=0)
needs_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch before 2.9")


def newton_schulz(matrix, n_steps=5):
    """The published iteration, in float64: all singular values between about 0.7 and 1.2."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix / np.linalg.norm(matrix)
    for _ in range(n_steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


def side_by_side(weight, name):
    """A weight of attention as one matrix, head by head; any other as it is."""
    if weight.ndim == 2:
        return weight
    heads = list(weight.numpy())
    return torch.tensor(np.vstack(heads) if name.endswith("W_O") else np.hstack(heads))


def attention_and_others(seed=0):
    """Weights of a transformer with gradients, none of which has a singular value near zero."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {
        "embed.W_E": (7, 12),
        "blocks.0.attn.W_Q": (3, 12, 8),
        "blocks.0.attn.W_O": (3, 8, 12),
        "blocks.0.attn.b_O": (12,),
        "blocks.0.mlp.W_in": (12, 20),
        "unembed.W_U": (12, 7),
    }
    made = {}
    for name, shape in shapes.items():
        made[name] = torch.randn(shape, generator=generator).requires_grad_()
        made[name].grad = torch.randn(shape, generator=generator)
    return made


HIDDEN = ("blocks.0.attn.W_Q", "blocks.0.attn.W_O", "blocks.0.mlp.W_in")


@needs_muon
@pytest.mark.parametrize("nesterov", [True, False])
def test_an_update_of_muon_is_the_published_one_of_all_heads_as_one_matrix(nesterov):
    made = attention_and_others()
    spec = dataclasses.replace(MUON, muon_momentum=0.9, muon_nesterov=nesterov)
    optimizer = build_optimizer(spec, made)
    mean = {name: np.zeros(side_by_side(made[name].detach(), name).shape) for name in HIDDEN}
    for _ in range(2):
        before = {name: made[name].detach().clone() for name in HIDDEN}
        optimizer.step()
        for name in HIDDEN:
            gradient = side_by_side(made[name].grad, name).double().numpy()
            mean[name] = 0.9 * mean[name] + 0.1 * gradient
            direction = 0.9 * mean[name] + 0.1 * gradient if nesterov else mean[name]
            scale = 0.02 * 0.2 * math.sqrt(max(direction.shape))
            moved = made[name].detach() - before[name] * (1 - 0.02 * 0.5)
            found = side_by_side(moved, name).double().numpy() / -scale
            # Products in bfloat16 have two to three digits.
            error = np.linalg.norm(found - newton_schulz(direction)) / np.linalg.norm(found)
            assert error < 0.03, name
            # Neither the gradient itself nor each head alone looks like this.
            shrunk = direction / np.linalg.norm(direction) * np.linalg.norm(found)
            assert np.linalg.norm(found - shrunk) / np.linalg.norm(found) > 0.1
            if made[name].ndim == 3:
                head = newton_schulz(made[name].grad[0].double().numpy())
                of_head = moved[0].double().numpy() / -scale
                assert np.linalg.norm(of_head - head) / np.linalg.norm(head) > 0.1
        for value in made.values():
            value.grad = torch.randn(value.shape, generator=torch.Generator().manual_seed(5))


@needs_muon
def test_what_muon_does_not_update_has_the_bits_of_adamw():
    made, plain = attention_and_others(), attention_and_others()
    optimizers = [
        build_optimizer(MUON, made),
        build_optimizer(dataclasses.replace(MUON, algorithm="adamw"), plain),
    ]
    for rate in (0.02, 0.01, 0.005):
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
    same = {name for name in made if torch.equal(made[name], plain[name])}
    assert same == set(made) - set(HIDDEN)


@needs_muon
def test_chosen_weights_alone_decay_with_muon():
    def moved(**fields):
        made = attention_and_others()
        build_optimizer(dataclasses.replace(MUON, **fields), made).step()
        return made

    found = moved(decayed=("W_Q", "W_E"))
    every, none = moved(), moved(weight_decay=0.0)
    for name, value in found.items():
        is_chosen = name in ("blocks.0.attn.W_Q", "embed.W_E")
        assert torch.equal(value, (every if is_chosen else none)[name]), name
        assert not torch.equal(value, (none if is_chosen else every)[name]), name


@needs_muon
@pytest.mark.parametrize(
    "model",
    [None, MlpSpec(widths=(8, 6), biases=True)],
    ids=["transformer", "perceptron"],
)
def test_a_run_by_muon_learns_and_goes_on_with_the_same_bits(tmp_path, model):
    optimizer = dataclasses.replace(
        MUON, learning_rate=3e-3, warmup_steps=5, schedule="linear", schedule_steps=90
    )
    config = tiny.config(n_steps=60, checkpoint_every=20, optimizer=optimizer)
    config = config if model is None else dataclasses.replace(config, model=model)
    whole = train(config, tmp_path / "whole", n_threads=1, progress=False)
    assert whole.curves["train_loss"].iloc[-1] < 0.99 * whole.curves["train_loss"].iloc[0]
    half = dataclasses.replace(config, n_steps=20)
    train_many([half], tmp_path / "parts", n_threads=1, progress=False)
    folder = tmp_path / "parts" / half.hash()
    assert same_bits(train(config, folder, n_threads=1, progress=False), whole)


def test_muon_takes_one_network_after_another_where_others_are_batched(monkeypatch):
    monkeypatch.setattr(kernel_choice, "has_numba", lambda: False)
    for device in ("cpu", "meta"):
        ways = [
            batched_ways.batched_way(tiny.config(optimizer=optimizer), device)
            for optimizer in (MUON, OptimizerSpec())
        ]
        assert [isinstance(way, batched_ways.OneByOne) for way in ways] == [True, False]


@needs_muon
def test_memory_of_muon_that_is_lost_gives_other_bits(tmp_path):
    """The sibling of the test above: a momentum of zero after a resume would be noticed."""
    import safetensors.torch

    config = tiny.config(n_steps=30, checkpoint_every=10, optimizer=MUON)
    whole = train(config, tmp_path / "whole", progress=False)
    train(dataclasses.replace(config, n_steps=10), tmp_path / "parts", progress=False)
    path = tmp_path / "parts" / "resume.safetensors"
    stored = safetensors.torch.load(path.read_bytes())
    kept = {name.split(".", 1)[0] for name in stored if name.endswith("mlp.W_in")}
    assert kept == {"parameters", "momentum_buffer"}
    stored["momentum_buffer.blocks.0.attn.W_Q"].zero_()
    path.write_bytes(safetensors.torch.save(stored, metadata={"step": "10"}))
    assert train(config, tmp_path / "parts", progress=False).checksum(30) != whole.checksum(30)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (
            ModelSpec(d_model=8, n_heads=1, d_head=8, d_mlp=8, normalization="LN", gated_mlp=True),
            {"W_Q", "W_K", "W_V", "W_O", "W_in", "W_out", "W_gate"},
        ),
        (MlpSpec(widths=(8, 8, 8), biases=True), {"layers.1.W", "layers.2.W"}),
        (MlpSpec(widths=(8,), embedding="separate"), {"layers.0.W"}),
        (MlpSpec(widths=(8,)), set()),
    ],
)
def test_hidden_matrices_are_neither_first_nor_last(model, expected):
    from grokinterp.runs.optimizer import _names_of

    names = _names_of(model)[0]
    found = {name.removeprefix("blocks.0.") for name in hidden_matrices(names)}
    assert {name.removeprefix("attn.").removeprefix("mlp.") for name in found} == expected


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"algorithm": "muon", "momentum": 0.9}, "It is of sgd; muon has muon_momentum"),
        ({"muon_momentum": 0.9}, "muon_momentum=0.9 is not allowed. It belongs to algorithm=muon"),
        ({"algorithm": "sgd", "muon_nesterov": False}, "muon_nesterov=False is not allowed"),
        ({"algorithm": "muon", "muon_momentum": 1.0}, r"Use a value in \[0, 1\)"),
        ({"algorithm": "muon", "muon_ns_steps": 0}, "muon_ns_steps=0 is not allowed. Use 1 to 99"),
        ({"algorithm": "muon", "muon_ns_steps": 100}, "muon_ns_steps=100 is not allowed"),
    ],
)
def test_settings_of_muon_that_mean_nothing_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        OptimizerSpec(**fields)


def test_a_network_without_hidden_matrices_is_refused():
    with pytest.raises(ConfigError, match="algorithm=muon updates hidden matrices, and this"):
        TrainConfig(model=MlpSpec(widths=(8,)), optimizer=MUON)
    TrainConfig(model=MlpSpec(widths=(8, 8)), optimizer=MUON)


def test_a_torch_without_muon_is_named_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    config = tiny.config(n_steps=2, optimizer=MUON)
    with pytest.raises(ConfigError, match="algorithm=muon needs torch 2.9 or later, and this is"):
        train(config, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
    with pytest.raises(FailedRunsError, match="needs torch 2.9 or later"):
        train_many([config], tmp_path / "runs", progress=False)
    assert not list((tmp_path / "runs").iterdir())
    assert train(tiny.config(n_steps=2), tmp_path / "plain", progress=False).last_step == 2
