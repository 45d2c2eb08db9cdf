"""The learning coefficient of networks: any kind with weights, its table, figure and section."""

import inspect
import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import grokinterp as gi
from grokinterp.cards.catalogue import card_of
from grokinterp.errors import ConfigError
from grokinterp.learning_coefficient.local import default_n_betas
from grokinterp.learning_coefficient.network_loss import network_loss
from grokinterp.models.loss import cross_entropy
from grokinterp.report.sections import analysis_sections
from tests import kinds

pytestmark = pytest.mark.long  # Chains take seconds each.

WITH_WEIGHTS = [name for name in kinds.KINDS if name != "logits alone"]
FEW = {"n_burn_in": 4, "n_draws": 8, "n_chains": 2}
SPEC = gi.MlpSpec(widths=(16,), embedding="shared", d_embed=8, biases=True)


@pytest.fixture(scope="module")
def snapshot():
    return gi.take_snapshot(kinds.of_initial_weights(SPEC))


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_the_loss_of_the_weights_themselves_is_that_of_the_snapshot(name):
    snapshot = gi.take_snapshot(kinds.KINDS[name]())
    for on in ("train", "all"):
        loss, mask = network_loss(snapshot, on), snapshot.pair_mask(on)
        expected = cross_entropy(snapshot.logits[mask], snapshot.labels[mask])
        assert loss(loss.center[None]).item() == pytest.approx(expected, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_every_kind_of_network_with_weights_is_sampled_and_left_as_it_was(name):
    snapshot = gi.take_snapshot(kinds.KINDS[name]())
    before = {key: value.clone() for key, value in snapshot.network.weights.items()}
    found = gi.local_learning_coefficient(snapshot, n_betas=[2], step_sizes=[1e-5], **FEW)
    assert torch.isfinite(found.traces).all() and found.traces.std() > 0
    after = snapshot.network.weights
    assert all(torch.equal(after[key], value) for key, value in before.items())


def test_a_network_known_by_its_logits_has_none():
    snapshot = gi.take_snapshot(kinds.logits_alone())
    with pytest.raises(ConfigError, match="shows no weights"):
        gi.local_learning_coefficient(snapshot)


def test_weights_that_are_not_trained_do_not_move():
    snapshot = gi.take_snapshot(kinds.KINDS["transformer"]())
    loss = network_loss(snapshot, "train")
    assert "unembed.b_U" not in loss.names and "unembed.b_U" in loss.fixed


def test_a_linear_readout_has_the_coefficient_of_its_quadratic():
    """A module with one weight per logit: near its minimum the loss is quadratic and known."""

    class Biases(nn.Module):
        def __init__(self):
            super().__init__()
            self.logits = nn.Parameter(torch.zeros(5, dtype=torch.float64))

        def forward(self, pairs):
            return self.logits.expand(len(pairs), -1)

    run = gi.Run.from_modules({0: Biases()}, task=gi.TaskSpec(p=5), inputs="a b")
    found = gi.local_learning_coefficient(
        gi.take_snapshot(run),
        on="all",
        n_betas=[2000.0],
        step_sizes=[1e-4],
        localization=20.0,
        n_chains=4,
        n_burn_in=500,
        n_draws=3000,
    )
    # Every answer is as frequent: the Hessian is 1/5 on the four differences of logits, 0 on
    # their sum.
    exact = 4 / 2 * (2000 / 5) / (2000 / 5 + 20)
    assert found.value == pytest.approx(exact, rel=0.1)


def test_minibatches_estimate_the_same(snapshot):
    settings = {"n_betas": [2], "step_sizes": [1e-3], "localization": 50.0, "largest_r_hat": 2.0}
    whole = gi.local_learning_coefficient(snapshot, **settings, n_draws=300, n_burn_in=100)
    parts = gi.local_learning_coefficient(
        snapshot, **settings, n_draws=300, n_burn_in=100, batch_size=60
    )
    error = math.hypot(whole.standard_error, parts.standard_error)
    assert parts.estimate == pytest.approx(whole.estimate, abs=5 * error)
    assert parts.loss == whole.loss and math.isnan(parts.plateau.acceptance[0])
    assert not torch.equal(parts.traces, whole.traces)


def test_inverse_temperatures_are_fractions_of_n_over_log_n():
    assert default_n_betas(1000) == pytest.approx([f * 1000 / math.log(1000) for f in (0.3, 1, 3)])


def test_with_the_defaults_a_flat_direction_mixes_within_the_burn_in():
    # Under the localization alone: x <- (1 - step * localization / 2) x + noise.
    options = inspect.signature(gi.local_learning_coefficient).parameters
    pull, burn_in = options["localization"].default, options["n_burn_in"].default
    slowest = 2 / (min(options["step_sizes"].default) * pull)
    assert 2 * slowest <= burn_in
    # With a pull of 1 it does not.
    assert 2 * slowest * pull > 10 * burn_in
    along = inspect.signature(gi.learning_coefficient_curve).parameters
    assert along["localization"].default == pull


def test_a_run_with_an_unknown_split_takes_all_pairs():
    run = gi.Run.from_modules({0: kinds.Summed(1.0)}, task=gi.TaskSpec(p=13), inputs="a b")
    with pytest.raises(ConfigError, match="Use on='all'"):
        gi.local_learning_coefficient(gi.take_snapshot(run))


# Along a run, on disk, in the report.


@pytest.fixture(scope="module")
def curve():
    run = kinds.of_initial_weights(SPEC)
    return gi.learning_coefficient_curve(run, n_beta=2, step_size=1e-4, **FEW)


def test_the_curve_has_a_row_for_each_checkpoint_with_the_same_settings(curve):
    assert curve["step"].tolist() == [0, 1]
    assert curve["n_beta"].nunique() == 1 and curve["step_size"].nunique() == 1
    assert ((curve["reason"] == "") == curve["value"].notna()).all()
    known = curve["value"].notna()
    assert (curve.loc[known, "value"] == curve.loc[known, "estimate"]).all()


def test_the_report_and_the_tables_have_it_where_it_was_asked_for(curve, tmp_path):
    analysis = gi.analyze_run(kinds.of_initial_weights(SPEC), deep=False)
    names = [section.name for section in analysis_sections(analysis)]
    assert "learning-coefficient" not in names
    asked = analysis.with_learning_coefficient(curve)
    names = [section.name for section in analysis_sections(asked)]
    assert names.count("learning-coefficient") == 1
    gi.write_tables(asked, tmp_path)
    written = pd.read_csv(tmp_path / "learning_coefficient.csv")
    assert written["estimate"].tolist() == curve["estimate"].tolist()
    with pytest.raises(ConfigError, match="no columns step, value"):
        analysis.with_learning_coefficient(pd.DataFrame({"step": [1]}))


def test_the_figure_has_every_chain_and_every_setting(snapshot):
    found = gi.local_learning_coefficient(snapshot, n_betas=[1, 2], step_sizes=[1e-4], **FEW)
    figure = gi.figures.plot_learning_coefficient(found)
    names = [trace.name for trace in figure.data]
    assert names == ["chain 1", "chain 2", "n beta 1", "n beta 2"]
    assert np.allclose(figure.data[0].y, found.traces[0].numpy())
    assert figure.data[2].y[0] == found.plateau.estimate[0]


def test_the_figure_of_a_curve_shows_it(curve):
    figure = gi.figures.plot_learning_coefficient_curve(curve)
    estimate = next(trace for trace in figure.data if trace.name == "estimate")
    assert list(estimate.y) == curve["estimate"].tolist()
    with pytest.raises(ConfigError, match="no column 'value'"):
        gi.figures.plot_learning_coefficient_curve(curve.drop(columns="value"))


def test_what_was_found_shows_itself(snapshot):
    found = gi.local_learning_coefficient(snapshot, n_betas=[2], step_sizes=[1e-3], **FEW)
    text = repr(found)
    assert text.startswith("LearningCoefficient") and "R-hat" in text
    assert "step size" in card_of(found)
