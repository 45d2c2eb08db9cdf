"""Small configurations that train in about a second."""

import dataclasses


def config(operation="addition", p=13, **changes):
    from grokinterp.models import ModelSpec
    from grokinterp.runs import OptimizerSpec, TrainConfig
    from grokinterp.tasks import TaskSpec

    base = TrainConfig(
        task=TaskSpec(operation=operation, p=p, train_fraction=0.7),
        model=ModelSpec(d_model=32, n_heads=4, d_head=8, d_mlp=64),
        optimizer=OptimizerSpec(learning_rate=3e-3),
        n_steps=400,
        checkpoint_every=40,
    )
    return dataclasses.replace(base, **changes)
