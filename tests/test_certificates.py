"""Proofs of accuracy: never above the truth, worth nothing on what is memorized."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import grokinterp as gi
from grokinterp.certificates import STRATEGIES
from grokinterp.certificates.by_pair import Group, prove_by_pair, prove_every_pair
from grokinterp.certificates.outward import Ball, Operations, added, matrix_product, norms
from grokinterp.certificates.pair_network import pair_network
from grokinterp.circuits import Snapshot
from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.models.initialization import initial_parameters
from grokinterp.models.mlp import first_mlp_parameters
from grokinterp.models.pair_tables import pair_logits
from grokinterp.report.certificate import certificate_section
from grokinterp.tasks import Split
from tests import kinds, planted, synthetic

CHEAP = STRATEGIES[1:]


def keys(n, frequencies):
    return gi.KeyFrequencies.given(n, frequencies)


def certified(snapshot, frequencies, level=1):
    chosen = gi.KeyFrequencies.given_for(snapshot.require_view(), frequencies)
    return gi.certify(snapshot, gi.extract(snapshot, chosen, level=level, n_shuffled=0))


def bound(certificate, strategy):
    return certificate.strategies.set_index("strategy").accuracy_lower_bound[strategy]


def true_accuracy(snapshot):
    """Accuracy in float64 over the pairs of the view, ties counted as wrong."""
    weights = {name: value.double() for name, value in snapshot.network.weights.items()}
    pairs = torch.tensor(snapshot.task.pairs)
    logits = pair_logits(weights, snapshot.network.spec, pairs)[:, : snapshot.task.n_classes]
    labels = torch.tensor(snapshot.task.labels)[:, None]
    others = logits.scatter(1, labels, -torch.inf).max(dim=1).values
    is_right = logits.gather(1, labels)[:, 0] > others
    return float(is_right[snapshot.pair_rows].double().mean())


def summing(p, n_phases=16):
    spec = planted.summing_spec(n_phases)
    weights = planted.summing_parameters(p, (2, 5), n_phases)
    return Snapshot.from_parameters(weights, planted.split(p), spec)


def multiplying(p, **changes):
    weights = planted.multiplying_parameters(p, (2, 5))
    return Snapshot.from_parameters(weights, planted.split(p), planted.multiplying_spec(**changes))


def damaged(snapshot, size, generator):
    """The network with noise of a size, and if that is small with neurons that are gone."""
    weights = {}
    for name, value in snapshot.network.weights.items():
        noise = torch.randn(value.shape, generator=generator, dtype=torch.float64)
        weights[name] = value + (size * float(value.double().std(correction=0)) * noise).to(
            value.dtype
        )
        if name.endswith(("layers.1.W", "mlp.W_out")) and size < 0.05:
            weights[name][:: int(torch.randint(2, 9, (1,), generator=generator))] = 0
    return Snapshot.from_parameters(weights, snapshot.split, snapshot.network.spec)


PLANTED = {
    "pizza": lambda: planted.pizza_snapshot(13, [2, 5]),
    "clock": lambda: planted.clock_snapshot(13, [2, 5]),
    "summing perceptron": lambda: summing(13),
    "multiplying perceptron": lambda: multiplying(13),
    "squares": lambda: planted.gromov_snapshot(13, 120),
    "squares that multiply": lambda: planted.gromov_snapshot(13, 120, "multiplication"),
}


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("level", [1, 2])
def test_no_bound_is_above_the_accuracy_of_a_planted_or_damaged_network(name, level):
    whole = PLANTED[name]()
    generator = torch.Generator().manual_seed(len(name) + level)
    used = [2, 5] if "squares" not in name else range(1, whole.view.order // 2 + 1)
    n_between = n_proved = 0
    for size in (0, 0.003, 0.03, 0.1, 0.3, 0.5, 0.7, 1):
        snapshot = damaged(whole, size, generator) if size else whole
        truth = true_accuracy(snapshot)
        try:
            certificate = certified(snapshot, used, level)
        except gi.ConfigError as error:  # no neuron is of these frequencies any more
            assert "no neuron" in str(error)
            continue
        table = certificate.strategies
        found = table.accuracy_lower_bound.dropna()
        assert len(found) >= 3 and (found <= truth).all(), table
        assert bound(certificate, "every pair") == truth
        n_between += 0.1 < truth < 1
        n_proved += bool((found[1:] > 0).any())
    assert n_between and n_proved  # networks of all kinds were met


@pytest.mark.parametrize("act_fn", ["relu", "square", "linear_quadratic", "gelu", "silu", "tanh"])
@pytest.mark.parametrize("seed", range(3))
def test_no_bound_is_above_the_accuracy_of_a_random_perceptron(act_fn, seed):
    forms = [
        {"biases": True, "init": "torch_linear"},
        {"init": "mean_field", "embedding": "separate", "d_embed": 6, "output_scale": 3.0},
        {"embedding": "shared", "d_embed": 6, "combination": "summed", "biases": True},
    ]
    p, form = 11, forms[seed]
    spec = MlpSpec(widths=(20,), act_fn=act_fn, init_seed=seed, **form)
    weights = first_mlp_parameters(spec, 2 * p, p)
    snapshot = Snapshot.from_parameters(weights, planted.split(p, "subtraction"), spec)
    certificate = certified(snapshot, [1, 2, 3, 4, 5])
    found = certificate.strategies.accuracy_lower_bound.dropna()
    assert (found <= true_accuracy(snapshot)).all()
    assert bound(certificate, "every pair") == true_accuracy(snapshot) > 0
    # What its tables compute is what the network computes.
    network = pair_network(snapshot)
    logits = np.concatenate([x @ network.readout.mid + y for _, x, y in network.blocks()])
    double = {name: value.double() for name, value in weights.items()}
    wanted = pair_logits(double, spec, torch.tensor(snapshot.task.pairs))
    wanted = wanted[snapshot.pair_rows][:, snapshot.class_tokens].numpy()
    assert logits == pytest.approx(wanted, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_no_bound_is_above_the_accuracy_of_a_random_transformer(seed):
    act_fn = ("relu", "gelu_new", "square")[seed]
    spec = ModelSpec(d_model=12, n_heads=2, d_head=6, d_mlp=24, act_fn=act_fn, biases="all")
    weights = planted.random_parameters(spec, 11)
    snapshot = Snapshot.from_parameters(weights, planted.split(11, "multiplication"), spec)
    certificate = certified(snapshot, [1, 2, 3, 4, 5])
    found = certificate.strategies.accuracy_lower_bound.dropna()
    assert (found <= true_accuracy(snapshot)).all()
    assert bound(certificate, "every pair") == true_accuracy(snapshot) > 0


def test_bounds_on_planted_networks_exceed_their_cost_by_nine_tenths():
    for snapshot, used in (
        (planted.pizza_snapshot(59, [2, 5]), [2, 5]),
        (summing(59), [2, 5]),
    ):
        certificate = certified(snapshot, used, level=2)
        assert certificate.accuracy_lower_bound == snapshot.accuracy_all == 1
        assert certificate.best.strategy == "per token"
        assert certificate.best.bound_minus_cost >= 0.9
        assert bound(certificate, "operator norms") == 1
    # A clock's neurons have hinges: no closed form of them is known, and they are computed.
    clock = certified(planted.clock_snapshot(23, [2, 5]), [2, 5], level=2)
    assert clock.best.strategy == "neurons by group" and clock.accuracy_lower_bound == 1
    assert clock.best.bound_minus_cost > 0.5 and bound(clock, "per token") == 0


def memorizing(p=23, n_neurons=1500):
    """Random neurons whose readout alone is solved for the right answers of half of the pairs."""
    parts = planted.split(p)
    pairs, rows = torch.tensor(parts.task.pairs), torch.tensor(parts.train)
    first = planted.noise(2 * p, n_neurons, seed=1)
    hidden = (first[pairs[:, 0]] + first[p + pairs[:, 1]]).relu()[rows]
    answers = torch.tensor(parts.task.labels)[rows]
    wanted = 10 * torch.nn.functional.one_hot(answers, p).double() - 10 / p
    readout = hidden.T @ torch.linalg.solve(hidden @ hidden.T + torch.eye(len(rows)), wanted)
    weights = {"layers.0.W": first, "layers.1.W": readout}
    return Snapshot.from_parameters(weights, parts, MlpSpec(widths=(n_neurons,)))


@pytest.mark.parametrize("frequencies", [[2, 5], [1, 2, 3, 4, 5]])
def test_what_costs_less_than_checking_memorized_pairs_proves_nothing_of_them(frequencies):
    snapshot = memorizing()
    truth = true_accuracy(snapshot)
    assert 0.45 < truth < 0.6
    certificate = certified(snapshot, frequencies, level=2)
    table = certificate.strategies.set_index("strategy").loc[list(CHEAP)]
    cheaper = table[table.relative_cost < truth]
    assert len(cheaper) >= 3 and (cheaper.accuracy_lower_bound == 0).all()
    assert (table.bound_minus_cost <= 0).all()
    # The certificate falls back on what does prove something.
    assert certificate.best.strategy == "every pair"


def fractions_product(left, right):
    columns = list(zip(*right, strict=True))
    return [[sum(a * b for a, b in zip(r, c, strict=True)) for c in columns] for r in left]


@pytest.mark.parametrize("seed", range(5))
def test_products_and_norms_hold_the_exact_ones(seed):
    generator = np.random.default_rng(seed)
    # Entries of very different sizes that cancel.
    left, right = (
        generator.normal(size=shape) * 10.0 ** generator.integers(-9, 9, size=shape)
        for shape in ((3, 6), (6, 4))
    )
    left[0, 3:] = -left[0, :3]
    right[3:] = right[:3]
    right[3:, 0] *= 1 + 2**-52
    operations = Operations()
    found = matrix_product(Ball.exact(left), Ball.exact(right), operations)
    twice = matrix_product(found, Ball.exact(right[:4].T), operations)
    total = added(found, Ball.exact(right[:3]), operations)
    x = [[Fraction(v) for v in row] for row in left.tolist()]
    y = [[Fraction(v) for v in row] for row in right.tolist()]
    exact = [
        [sum(a * b for a, b in zip(r, c, strict=True)) for c in zip(*y, strict=True)] for r in x
    ]
    z = list(zip(*y[:4], strict=True))
    again = [
        [sum(a * b for a, b in zip(r, c, strict=True)) for c in zip(*z, strict=True)] for r in exact
    ]
    plus = [[a + b for a, b in zip(r, s, strict=True)] for r, s in zip(exact, y[:3], strict=True)]
    assert any(Fraction(m) != e for m, e in zip(found.mid.flat, sum(exact, []), strict=True))
    for ball, truth in ((found, exact), (twice, again), (total, plus)):
        for mid, rad, value in zip(ball.mid.flat, ball.rad.flat, sum(truth, []), strict=True):
            assert abs(Fraction(mid) - value) <= Fraction(rad)
    for norm, row in zip(norms(left, operations), x, strict=True):
        assert Fraction(float(norm)) ** 2 >= sum(v * v for v in row)


@pytest.mark.parametrize("seed", range(6))
def test_a_tie_is_not_proved_although_its_float64_logits_differ(seed):
    p, m = 7, 150
    generator = torch.Generator().manual_seed(seed)
    half = torch.rand(2 * p, m, generator=generator, dtype=torch.float64) + 0.1
    order = torch.randperm(m, generator=generator)
    size = torch.rand(m, generator=generator, dtype=torch.float64) + 1
    # Answers 0 and 1 are the same sum over copies of the same neurons in another order.
    readout = torch.zeros(2 * m, p, dtype=torch.float64)
    readout[:m, 0] = size
    readout[m:, 1] = size[order]
    weights = {"layers.0.W": torch.cat([half, half[:, order]], dim=1), "layers.1.W": readout}
    snapshot = Snapshot.from_parameters(weights, planted.split(p), MlpSpec(widths=(2 * m,)))
    of_0_or_1 = snapshot.logits[torch.isin(snapshot.labels, torch.tensor([0, 1]))]
    assert (of_0_or_1[:, 0] != of_0_or_1[:, 1]).any()  # rounding breaks the tie
    assert snapshot.accuracy_all > 0
    found = certified(snapshot, [1, 2, 3]).strategies.accuracy_lower_bound
    assert found.tolist() == [0] * 5


def test_the_cost_is_measured_against_a_pass_no_dearer_than_the_librarys():
    for snapshot in (summing(13), planted.pizza_snapshot(13, [2, 5])):
        with FlopCounterMode(display=False) as counter:
            pairs = torch.tensor(snapshot.task.pairs)
            weights = dict(snapshot.network.weights)
            pair_logits(weights, snapshot.network.spec, pairs)
        network = pair_network(snapshot)
        n, m, c = 13, network.n_neurons, 13
        products = counter.get_total_flops()
        assert 2 * n * n * m * c <= network.cheapest_pass()
        # Additions, activations, attention and the largest logit stand beside the products.
        others = n * n * (2 * m + c + 10 * 2 * (network.attention is not None)) + 4 * 10**4
        assert network.cheapest_pass() <= products + others


def test_operations_are_those_of_the_formula():
    snapshot = planted.gromov_snapshot(13, 60)
    network = pair_network(snapshot)
    n, m, c, r = 13, 60, 13, 4
    functions = np.linalg.qr(np.random.default_rng(0).normal(size=(c, r)))[0]
    dear = prove_by_pair(network, [Group(np.arange(m), functions)])
    half = prove_by_pair(network, [Group(np.arange(m), functions[:, :2])])
    # Two functions more: of each pair a product with the neurons, one with the answers; once
    # the coefficients, what they leave, and the size of both.
    once = 2 * 2 * m * c * 3
    difference = dear.operations - half.operations
    assert difference == pytest.approx(2 * n * n * 2 * (m + c) + once, rel=0.02)
    every = prove_every_pair(network).operations
    assert 1 < every / network.cheapest_pass() < 1.2
    assert every > n * n * (2 * m * c + 2 * m)


def test_other_groups_are_proved_by_representations():
    parts = planted.on_group("S3", torch.zeros(6)).split
    # One neuron for each pair of elements, which writes the right answer: relu(1 + 1 - 1).
    n = 6
    first = torch.zeros(2 * n, n * n, dtype=torch.float64)
    labels = torch.tensor(parts.task.labels)
    a, b = torch.tensor(parts.task.pairs).T
    first[a, torch.arange(n * n)], first[n + b, torch.arange(n * n)] = 1.0, 1.0
    readout = 5 * torch.nn.functional.one_hot(labels, n).double()
    weights = {
        "layers.0.W": first,
        "layers.0.b": -torch.ones(n * n, dtype=torch.float64),
        "layers.1.W": readout,
        "layers.1.b": torch.zeros(n, dtype=torch.float64),
    }
    snapshot = Snapshot.from_parameters(weights, parts, MlpSpec(widths=(n * n,), biases=True))
    every = range(1, snapshot.harmonics.n_components + 1)
    certificate = certified(snapshot, every)
    assert bound(certificate, "exact neurons") == bound(certificate, "every pair") == 1
    assert certificate.strategies.reason[3].startswith("its group is not cyclic")


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_every_kind_of_network_has_a_bound_or_a_reason(kind):
    snapshot = gi.take_snapshot(kinds.KINDS[kind]())
    certificate = certified(snapshot, kinds.KEYS)
    table = certificate.strategies
    assert table.strategy.tolist() == list(STRATEGIES)
    assert (table.reason.notna() == table.accuracy_lower_bound.isna()).all()
    assert bound(certificate, "every pair") <= snapshot.accuracy_all
    if kind.startswith(("module", "logits")):
        assert table.reason[1:].notna().all() and certificate.relative_cost == 1
        assert table.assumes[0] == "the logits as the network computed them"
    assert certificate.accuracy_lower_bound <= snapshot.accuracy_all
    assert "every pair" in repr(certificate)


def test_deeper_and_centered_networks_say_why():
    deep, centered = MlpSpec(widths=(8, 8)), MlpSpec(widths=(8,), is_centered=True)
    for spec, why in ((deep, "2 hidden layers"), (centered, "initial weights are subtracted")):
        weights = first_mlp_parameters(spec, 26, 13)
        snapshot = Snapshot.from_parameters(weights, planted.split(13), spec)
        reasons = certified(snapshot, [2]).strategies.reason
        assert all(why in reason for reason in reasons[1:])


def test_the_closed_form_of_another_step_is_refused():
    snapshot = planted.pizza_snapshot(13, [2, 5])
    form = gi.extract(snapshot, keys(13, [2, 5]), n_shuffled=0)
    with pytest.raises(gi.ConfigError, match="closed_form is of addition modulo 13 at step 0"):
        gi.certify(dataclasses.replace(snapshot, step=7), form)


def test_unknown_splits_do_not_matter():
    base = planted.pizza_snapshot(13, [2, 5])
    unknown = dataclasses.replace(base, split=Split.unknown(base.task))
    assert certified(unknown, [2, 5]).accuracy_lower_bound == 1


def test_initial_networks_are_proved_nothing_about():
    spec = ModelSpec(d_model=16, n_heads=2, d_head=8, d_mlp=32)
    weights = initial_parameters(spec, d_vocab=14, n_ctx=3, d_vocab_out=13)
    snapshot = Snapshot.from_parameters(weights, planted.split(13), spec)
    table = certified(snapshot, [2, 5]).strategies
    assert (table.accuracy_lower_bound[1:] == 0).all()


def test_the_report_says_the_best_bound_and_what_all_assume_once():
    def row(strategy, bound, cost, assumes="real arithmetic"):
        return {
            "strategy": strategy,
            "accuracy_lower_bound": bound,
            "relative_cost": cost,
            "bound_minus_cost": bound - cost,
            "unexplained_dimension": 7,
            "assumes": assumes,
            "reason": None,
        }

    absent = row("operator norms", 0, 0) | {"assumes": None, "reason": "no ReLU"}

    def said(*rows):
        table = pd.DataFrame([*rows, absent] if rows else [])
        analysis = dataclasses.replace(synthetic.grokked_analysis(12), certificate=table)
        return "".join(certificate_section(analysis).blocks)

    some = row("every pair", 1.0, 1.02), row("exact neurons", 0.75, 0.25), row("per token", 0, 0.1)
    page = said(*some)
    assert "“exact neurons” proves that the network is right on at least 75.00% of the" in page
    assert "at 0.25 of the cost of checking every pair" in page
    assert page.count("real arithmetic") == 1 and "Assumed: real arithmetic." in page
    assert "Not tried: operator norms. Reason: no ReLU." in page
    page = said(some[0], row("exact neurons", 0.2, 0.25, "cosines"))
    assert "No strategy proves more than its cost." in page
    assert "Assumed by every pair: real" in page and "Assumed by exact neurons: cosines." in page
    assert "There is no closed form to begin a proof with." in said()
