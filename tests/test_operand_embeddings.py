"""Transformers with an embedding of a and another of b: twice as many tokens, all else the same."""

import dataclasses

import pytest
import torch

from grokinterp.circuits import take_snapshot
from grokinterp.circuits.embedding import embedding_through_heads
from grokinterp.errors import ConfigError
from grokinterp.models import ModelSpec
from grokinterp.models.hooked_transformer import HookedTransformer
from grokinterp.models.initialization import initial_parameters
from grokinterp.models.network_parts import Operands
from grokinterp.models.pair_tables import has_pair_tables, pair_logits
from grokinterp.models.transformer import input_tokens
from grokinterp.models.transformer_lens import from_transformer_lens, to_transformer_lens
from grokinterp.models.transformer_parts import TransformerParts
from grokinterp.runs.config import OptimizerSpec, TrainConfig
from grokinterp.tasks import TaskSpec
from grokinterp.training import train
from tests.kinds import of_weights

EXACT64 = {"rtol": 1e-10, "atol": 1e-10}
"""The same sums in float64, in another order."""
P = 5
SHAPE = {"d_model": 8, "n_heads": 2, "d_head": 4, "d_mlp": 12}
PAIRS = torch.cartesian_prod(torch.arange(P), torch.arange(P))


def drawn(spec, p=P):
    generator = torch.Generator().manual_seed(1)
    shapes = initial_parameters(spec, **spec.vocabulary_sizes(p))
    return {
        name: torch.randn(value.shape, generator=generator, dtype=torch.float64)
        for name, value in shapes.items()
    }


def separate(**fields):
    return ModelSpec(**SHAPE, operand_embeddings="separate", **fields)


@pytest.mark.parametrize("sequence", ["a_b_equals", "a_b", "a_op_b_equals", "equals_a_b"])
def test_two_equal_tables_are_one_and_two_others_are_not(sequence):
    shared = ModelSpec(**SHAPE, input_format=sequence)
    weights = drawn(shared)
    table, signs = weights["embed.W_E"][:P], weights["embed.W_E"][P:]
    doubled = {**weights, "embed.W_E": torch.cat([table, table, signs])}
    spec = separate(input_format=sequence)
    expected = pair_logits(weights, shared, PAIRS)
    torch.testing.assert_close(pair_logits(doubled, spec, PAIRS), expected, **EXACT64)
    # With a table of its own, b = 3 may have the row that a = 1 has.
    b_table = table[[2, 0, 4, 1, 3]]
    other = {**weights, "embed.W_E": torch.cat([table, b_table, signs])}
    renamed = PAIRS.clone()
    renamed[:, 1] = torch.tensor([2, 0, 4, 1, 3])[PAIRS[:, 1]]
    found = pair_logits(other, spec, PAIRS)
    torch.testing.assert_close(found, pair_logits(weights, shared, renamed), **EXACT64)
    assert (found - expected).abs().max() > 0.1


def test_the_tokens_of_b_follow_those_of_a_and_the_signs_follow_both():
    spec = separate(input_format="a_op_b_equals")
    assert spec.vocabulary_sizes(P) == {"d_vocab": 12, "n_ctx": 4, "d_vocab_out": 5}
    assert input_tokens(torch.tensor([[4, 0]]), spec, 12).tolist() == [[4, 11, 5, 10]]
    assert separate(outputs="tokens").vocabulary_sizes(P)["d_vocab_out"] == 11
    with pytest.raises(ConfigError, match="operand_embeddings=.?separate.? .*tied_embeddings"):
        separate(tied_embeddings=True)
    assert "separate embeddings" in spec.in_words
    assert "separate" not in ModelSpec().in_words


def test_it_is_the_same_network_with_hooks_and_in_transformer_lens():
    spec = separate()
    weights = drawn(spec)
    tokens = input_tokens(PAIRS, spec, 11)
    logits = pair_logits(weights, spec, PAIRS)
    model = HookedTransformer.from_parameters(spec, weights)
    torch.testing.assert_close(model(tokens)[:, -1], logits, **EXACT64)
    theirs = to_transformer_lens(model)
    torch.testing.assert_close(theirs(tokens)[:, -1], logits, rtol=1e-6, atol=1e-6)
    back = from_transformer_lens(theirs, operand_embeddings="separate")
    assert back.spec.operand_embeddings == "separate"
    assert torch.equal(back.W_E.cpu(), model.W_E)
    # Weights do not show it: whoever does not say so gets one embedding of ten operands.
    assert from_transformer_lens(theirs).spec.operand_embeddings == "shared"


def test_its_operands_are_two_tables_in_one_residual_stream():
    spec = separate(normalization="LN", n_layers=2)
    weights = drawn(spec)
    parts = TransformerParts.of(weights, spec, PAIRS, n_tokens=P, n_answers=P)
    tables = parts.operands
    assert not tables.is_shared and not parts.missing
    assert torch.equal(tables.a, weights["embed.W_E"][:5])
    assert torch.equal(tables.b, weights["embed.W_E"][5:10])
    exchanged = parts.with_operands(Operands(tables.b, tables.a))
    rows = torch.arange(25)
    expected = parts.logits_from_operands(tables.b[PAIRS[:, 0]], tables.a[PAIRS[:, 1]], rows)
    torch.testing.assert_close(exchanged.logits, expected, **EXACT64)
    assert (exchanged.logits - parts.logits).abs().max() > 0.1
    shared = ModelSpec(**SHAPE)
    one = TransformerParts.of(drawn(shared), shared, PAIRS, n_tokens=P, n_answers=P)
    with pytest.raises(ValueError, match="one embedding"):
        one.with_operands(Operands(one.operands.a, one.operands.a + 1))


def test_what_reaches_the_neurons_is_told_for_a_and_for_b():
    spec = separate()
    weights = {name: value.float() for name, value in drawn(spec, 13).items()}
    through = embedding_through_heads(take_snapshot(of_weights(spec, weights), 0))
    w = {name.rsplit(".", 1)[-1]: value.double() for name, value in weights.items()}
    into = torch.einsum("hde,hef->df", w["W_V"], w["W_O"]) @ w["W_in"]
    expected = torch.cat([w["W_E"][:13] @ into, w["W_E"][13:26] @ into], dim=1)
    torch.testing.assert_close(through, expected)


def test_it_is_trained_by_the_general_step_and_grows_two_tables(tmp_path):
    assert has_pair_tables(ModelSpec(**SHAPE)) and not has_pair_tables(separate())
    config = TrainConfig(
        task=TaskSpec(p=P, train_fraction=0.8),
        model=separate(),
        optimizer=OptimizerSpec(learning_rate=0.01, weight_decay=0.0, warmup_steps=0),
        n_steps=60,
        checkpoint_every=60,
    )
    run = train(config, tmp_path)
    assert run.curves["train_loss"].iloc[-1] < 0.3 * run.curves["train_loss"].iloc[0]
    assert "operand_embeddings=separate" in run.environment["training_step"]
    W_E = run.parameters()["embed.W_E"]
    assert len(W_E) == 11 and not torch.allclose(W_E[:5], W_E[5:10], atol=0.1)


def test_one_embedding_leaves_the_hash_of_a_config_alone():
    plain = TrainConfig(model=ModelSpec(**SHAPE))
    named = TrainConfig(model=ModelSpec(**SHAPE, operand_embeddings="shared"))
    two = dataclasses.replace(plain, model=separate())
    assert plain.hash() == named.hash() != two.hash()
    assert TrainConfig.from_dict(two.to_dict()) == two
