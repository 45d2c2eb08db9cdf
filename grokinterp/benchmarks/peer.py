# What is installed beside this need not be TransformerLens 3.x.
# pyright: reportCallIssue=false
"""The training loop of TransformerLens's Grokking_Demo notebook, timed.

``python peer.py JSON``: a script that needs torch and TransformerLens 3.x alone, so that another
interpreter can run it; that is why it repeats the few lines of task and split.
"""

import json
import sys
import time
import warnings

import torch


def main(setting):
    """Return seconds of each step, without and with the test loss at every step."""
    warnings.simplefilter("ignore")
    from importlib import metadata

    from transformer_lens import HookedTransformer, HookedTransformerConfig

    torch.set_num_threads(setting["n_threads"])
    p, device = setting["p"], setting.get("device", "cpu")
    model = HookedTransformer(
        HookedTransformerConfig(
            n_layers=1,
            n_heads=4,
            d_model=128,
            d_head=32,
            d_mlp=setting["d_mlp"],
            act_fn="relu",
            normalization_type=None,
            d_vocab=p + 1,
            d_vocab_out=p,
            n_ctx=3,
            init_weights=True,
            device=device,
            seed=999,
        )
    )
    for name, parameter in model.named_parameters():
        if "b_" in name:
            parameter.requires_grad = False
    # What torch.compile makes is not made for the inference mode that the notebook tests in.
    without_gradients = torch.no_grad if setting.get("compiled") else torch.inference_mode
    forward = torch.compile(model) if setting.get("compiled") else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1.0, betas=(0.9, 0.98))
    tokens = torch.arange(p, device=device)
    a, b = tokens.repeat_interleave(p), tokens.repeat(p)
    dataset, labels = torch.stack([a, b, torch.full_like(a, p)], dim=1), (a + b) % p
    torch.manual_seed(598)
    order = torch.randperm(p * p).to(device)
    n_train = int(p * p * 0.3)
    train, test = order[:n_train], order[n_train:]

    def loss_of(rows):
        logits = forward(dataset[rows])[:, -1].to(torch.float64)
        return -logits.log_softmax(-1).gather(-1, labels[rows][:, None])[:, 0].mean()

    def update(with_test):
        loss = loss_of(train)
        loss.backward()
        loss.item()
        optimizer.step()
        optimizer.zero_grad()
        if with_test:
            with without_gradients():
                loss_of(test).item()

    seconds = {}
    for name, with_test in (("train", False), ("train_and_test", True)):
        for _ in range(3):
            update(with_test)
        seconds[name] = []
        for _ in range(setting["n_steps"]):
            # Every update ends with a number that is read, so no device is ahead.
            start = time.perf_counter()
            update(with_test)
            seconds[name].append(time.perf_counter() - start)
    version = metadata.version("transformer-lens")
    compiled = ", compiled by torch.compile" if setting.get("compiled") else ""
    return {"name": f"TransformerLens {version}{compiled}", "seconds": seconds}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(json.loads(sys.argv[1]))) + "\n")
