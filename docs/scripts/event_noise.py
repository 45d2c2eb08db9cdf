"""Events that noise alone makes, and planted ones that it hides: the tables of docs/events.md.

PYTHONPATH=. python docs/scripts/event_noise.py

Tables of 201 checkpoints, one every 100 steps, with the default rule and 1,000 steps of patience.
Coefficients carry multiplicative noise: their logarithms are normal with the given standard
deviation, either independent from checkpoint to checkpoint or correlated by 0.9 (a wandering of
some ten checkpoints).
"""

import sys

import numpy as np

from grokinterp.trajectory.frequency_events import LifeRule, Powers, find_changes

STEPS = np.arange(0, 20_001, 100)
PATIENCE = 1000
ALIVE, GONE = 10.0, 0.02
RULE = LifeRule()
N_TABLES = 50


def noise(rng, shape, size, correlation):
    """Normal noise of a standard deviation, correlated along the first axis."""
    white = rng.standard_normal(shape)
    rows = [white[0]]
    for row in white[1:]:
        rows.append(correlation * rows[-1] + (1 - correlation**2) ** 0.5 * row)
    return size * np.array(rows)


def table_of(sizes):
    """A table of powers with these coefficients."""
    power = sizes**2
    return Powers(STEPS, power / power.sum(axis=1, keepdims=True), sizes, (2,) * sizes.shape[1])


def flat(rng, n, p):
    """Logits that are nothing but noise: no frequency holds more than another."""
    power = rng.chisquare(2 * p, (len(STEPS), n))
    sizes = 0.1 * rng.standard_normal(power.shape)
    return Powers(STEPS, power / power.sum(axis=1, keepdims=True), sizes, (2,) * n)


def circuit(rng, size, correlation, center=None, born=None):
    """Four frequencies of 29 that are there, the rest gone; one at the threshold, one born."""
    sizes = np.full((len(STEPS), 29), GONE)
    sizes[:, :4] = ALIVE
    if center is not None:
        sizes[:, 10] = ALIVE * (4 * center) ** 0.5
    if born is not None:
        sizes[STEPS >= born, 20] = ALIVE / 2
    return table_of(sizes * np.exp(noise(rng, sizes.shape, size, correlation)))


def n_changes(tables):
    """Events in each table."""
    return [len(find_changes(table, patience=PATIENCE, rule=RULE)) for table in tables]


def kind_of(size, correlation):
    """Words for a kind of noise."""
    return f"{size}, {'correlated' if correlation else 'independent'}"


def lines():
    """Yield the lines of both tables."""
    rng = np.random.default_rng(0)
    yield f"| table | noise | events in {N_TABLES} tables |\n|---|---|---|"
    for n, p in ((6, 13), (29, 59), (56, 113)):
        found = n_changes(flat(rng, n, p) for _ in range(N_TABLES))
        yield f"| nothing but noise, p = {p} | white | {sum(found)} |"
    # Between what it takes to be there and half of that, which is the worst place.
    center = RULE.min_share * 0.5**0.5
    for correlation in (0.0, 0.9):
        for size in (0.1, 0.2, 0.3, 0.5):
            kind = kind_of(size, correlation)
            found = n_changes(circuit(rng, size, correlation) for _ in range(N_TABLES))
            yield f"| a circuit of four | {kind} | {sum(found)} |"
            found = n_changes(circuit(rng, size, correlation, center) for _ in range(N_TABLES))
            yield f"| and one at the threshold | {kind} | {sum(found)} |"
    yield "\n| noise | births found | nothing else | step off by |\n|---|---|---|---|"
    for correlation in (0.0, 0.9):
        for size in (0.1, 0.3, 0.5):
            off, alone = births(rng, size, correlation)
            far = f"{np.median(off):.0f}, at most {max(off)}"
            yield f"| {kind_of(size, correlation)} | {len(off)} of {N_TABLES} | {alone} | {far} |"


def births(rng, size, correlation):
    """By how many steps each planted birth is missed, and in how many tables nothing else is."""
    off, alone = [], 0
    for _ in range(N_TABLES):
        table = circuit(rng, size, correlation, born=8000)
        found = find_changes(table, patience=PATIENCE, rule=RULE)
        hits = [one for one in found if one.component == 20 and one.is_birth]
        off += [abs(one.step - 8000) for one in hits[:1]]
        alone += len(found) == 1
    return off, alone


if __name__ == "__main__":
    for line in lines():
        sys.stdout.write(f"{line}\n")
