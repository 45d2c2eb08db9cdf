"""Networks as people write them, none of them this library's; all on p tokens."""

import torch
import torch.nn.functional as F
from torch import nn


class Summed(nn.Module):
    """A shared embedding, summed, one hidden layer whose activation is a function."""

    def __init__(self, p=13, d=12, width=24, activation=torch.relu):
        super().__init__()
        self.embed = nn.Embedding(p, d)
        self.linear1 = nn.Linear(d, width)
        self.linear2 = nn.Linear(width, p)
        self.activation = activation

    def forward(self, pairs):
        a, b = self.embed(pairs[:, 0]), self.embed(pairs[:, 1])
        return self.linear2(self.activation(self.linear1(a + b)))


class OneHot(nn.Module):
    """A linear layer on a pair of one-hot vectors, an activation module, another linear layer."""

    def __init__(self, p=13, width=24):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2 * p, width), nn.Tanh(), nn.Linear(width, p))

    def forward(self, x):
        return self.net(x)


class Separate(nn.Module):
    """Two embeddings side by side, and a norm before the readout."""

    def __init__(self, p=13, left=8):
        super().__init__()
        self.left, self.right = nn.Embedding(p, left), nn.Embedding(p, 16 - left)
        self.joined = nn.Identity()
        self.hidden = nn.Linear(16, 20)
        self.act = nn.GELU()
        self.norm = nn.LayerNorm(20)
        self.out = nn.Linear(20, p)

    def forward(self, pairs):
        joined = self.joined(torch.cat([self.left(pairs[:, 0]), self.right(pairs[:, 1])], dim=1))
        return self.out(self.norm(self.act(self.hidden(joined))))


class Encoder(nn.Module):
    """torch's own encoder on ``a b =``, read at every position."""

    def __init__(self, p=13, d=16, batch_first=True, norm_first=False):
        super().__init__()
        self.embed = nn.Embedding(p + 1, d)
        self.place = nn.Parameter(torch.randn(3, d))
        layer = nn.TransformerEncoderLayer(
            d, 2, 24, dropout=0.5, batch_first=batch_first, norm_first=norm_first
        )
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.unembed = nn.Linear(d, p + 1)
        self.batch_first = batch_first

    def forward(self, tokens):
        x = self.embed(tokens) + self.place
        if not self.batch_first:
            return self.unembed(self.encoder(x.transpose(0, 1)).transpose(0, 1))
        return self.unembed(self.encoder(x))


class Recurrent(nn.Module):
    """An LSTM on two tokens, positions first, as torch has it by default."""

    def __init__(self, p=13, d=8, width=16):
        super().__init__()
        self.embed = nn.Embedding(p, d)
        self.lstm = nn.LSTM(d, width)
        self.out = nn.Linear(width, p)

    def forward(self, pairs):
        states, _ = self.lstm(self.embed(pairs.T))
        return self.out(states[-1])


class LightningStyle(Summed):
    """What a LightningModule has: training_step, and a trainer that raises until it is attached."""

    @property
    def trainer(self):
        raise RuntimeError("LightningStyle is not attached to a Trainer.")

    def training_step(self, batch, index):
        pairs, labels = batch
        return F.cross_entropy(self(pairs), labels)


class Attention(nn.Module):
    """One attention layer that returns its pattern too, and logits in an object of its own."""

    def __init__(self, p=13, d=8):
        super().__init__()
        self.embed = nn.Embedding(p + 1, d)
        self.attention = nn.MultiheadAttention(d, 2, batch_first=True)
        self.softmax = nn.Softmax(dim=-1)
        self.out = nn.Linear(d, p)
        self.average = True

    def forward(self, input_ids):
        x = self.embed(input_ids)
        z, _ = self.attention(x, x, x, average_attn_weights=self.average)
        return Output(self.out(z))


class Output:
    def __init__(self, logits):
        self.logits = logits


class Disturbed(Summed):
    """A network that changes itself whenever it runs: batch norm, dropout, a counter, a cache."""

    def __init__(self, p=13):
        super().__init__(p)
        self.norm, self.dropout = nn.BatchNorm1d(24), nn.Dropout(0.5)
        self.register_buffer("n_calls", torch.zeros((), dtype=torch.long))

    def forward(self, pairs):
        self.n_calls += 1
        a, b = self.embed(pairs[:, 0]), self.embed(pairs[:, 1])
        torch.rand(3)
        return self.linear2(self.dropout(torch.relu(self.norm(self.linear1(a + b)))))


def one_hot(pairs, p=13):
    return F.one_hot(pairs, p).flatten(1).float()


def seeded(make, seed=0, **changes):
    """A network with the initial weights of a seed, a little larger, so that nothing is tiny."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = make(**changes)
    with torch.no_grad():
        for value in module.parameters():
            value.mul_(1.5)
    return module
