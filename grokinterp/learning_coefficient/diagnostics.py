r"""Whether several chains have mixed: split R-hat and effective sample size, pure.

Formulas and defaults are those of Vehtari, Gelman, Simpson, Carpenter and Bürkner, "Rank-
normalization, folding, and localization: An improved R-hat for assessing convergence of MCMC",
Bayesian Analysis 2021, arXiv:1903.08008. Chains are cut in halves first, so that a trend within a
chain counts as a difference between two.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri
from scipy.stats import rankdata

FEWEST_DRAWS = 4
"""Draws per chain below which nothing can be said."""


def r_hat(chains: Float[np.ndarray, "chain draw"]) -> float:
    """Rank-normalized split R-hat: the larger of that of the draws and of their spread.

    It is 1 where the chains agree, and compares the spread between half chains with that within
    them. Draws are replaced by normal scores of their ranks first, so heavy tails do no harm; the
    second of the two is of the distance from the median, which sees chains that differ in scale.

    Returns
    -------
    float
        NaN with fewer than four draws per chain, with draws that are not finite, or where all
        draws are equal.

    Examples
    --------
    >>> draws = np.random.default_rng(0).normal(size=(4, 500))
    >>> r_hat(draws) < 1.01, r_hat(draws + [[0], [0], [0], [3]]) > 1.2
    (True, True)
    """
    if not _can_be_judged(chains):
        return math.nan
    halves = split_chains(chains)
    folded = np.abs(halves - np.median(halves))
    return max(plain_r_hat(normal_scores(halves)), plain_r_hat(normal_scores(folded)))


def effective_sample_size(chains: Float[np.ndarray, "chain draw"]) -> float:
    """Independent draws that would give the mean as precisely, at most ``N log10 N`` of N draws.

    The autocorrelation of the half chains, summed over Geyer's initial monotone sequence.

    Returns
    -------
    float
        NaN where :func:`r_hat` is.

    Examples
    --------
    >>> draws = np.random.default_rng(0).normal(size=(4, 500))
    >>> effective_sample_size(draws) > 1000
    True
    >>> effective_sample_size(np.repeat(draws[:, ::10], 10, axis=1)) < 500
    True
    """
    if not _can_be_judged(chains):
        return math.nan
    halves = split_chains(chains)
    n_chains, n_draws = halves.shape
    covariance = _autocovariance(halves)
    within = covariance[:, 0].mean() * n_draws / (n_draws - 1)
    total = within * (n_draws - 1) / n_draws
    if n_chains > 1:
        total += halves.mean(axis=1).var(ddof=1)
    rho = 1 - (within - covariance.mean(axis=0) * n_draws / (n_draws - 1)) / total
    rho[0] = 1.0
    n_all = n_chains * n_draws
    return float(n_all / max(_initial_monotone_sum(rho), 1 / math.log10(n_all)))


def standard_error(chains: Float[np.ndarray, "chain draw"]) -> float:
    """Monte Carlo standard error of the mean over all draws, in the unit of the draws."""
    spread = split_chains(chains).std(ddof=1)
    return float(spread / math.sqrt(effective_sample_size(chains)))


def split_chains(chains: Float[np.ndarray, "chain draw"]) -> Float[np.ndarray, "half half_draw"]:
    """Each chain as two; of an odd number of draws the middle one is left out.

    Examples
    --------
    >>> split_chains(np.array([[1.0, 2.0, 3.0, 4.0, 5.0]]))
    array([[1., 2.],
           [4., 5.]])
    """
    n = chains.shape[1] // 2
    return np.concatenate([chains[:, :n], chains[:, -n:]])


def normal_scores(draws: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Draws replaced by the normal quantiles of their ranks; ties have their mean rank."""
    ranks = rankdata(draws, method="average").reshape(draws.shape)
    return ndtri((ranks - 3 / 8) / (draws.size + 1 / 4))


def plain_r_hat(halves: Float[np.ndarray, "chain draw"]) -> float:
    """R-hat of chains as they are: the root of all variance over that within them."""
    n_draws = halves.shape[1]
    within = halves.var(axis=1, ddof=1).mean()
    between = n_draws * halves.mean(axis=1).var(ddof=1)
    if within == 0:
        return math.nan if between == 0 else math.inf
    return float(math.sqrt((between / within + n_draws - 1) / n_draws))


def _can_be_judged(chains: Float[np.ndarray, "chain draw"]) -> bool:
    if chains.shape[1] < FEWEST_DRAWS or not np.isfinite(chains).all():
        return False
    return bool(np.ptp(chains) > 0)


def _autocovariance(halves: Float[np.ndarray, "chain draw"]) -> Float[np.ndarray, "chain lag"]:
    """Autocovariance of each chain at every lag, divided by the number of draws."""
    n = halves.shape[1]
    centered = halves - halves.mean(axis=1, keepdims=True)
    transform = np.fft.rfft(centered, n=2 * n, axis=1)
    return np.fft.irfft(np.abs(transform) ** 2, n=2 * n, axis=1)[:, :n] / n


def _initial_monotone_sum(rho: Float[np.ndarray, " lag"]) -> float:
    """Integrated autocorrelation time: sums of pairs of lags while positive, never rising."""
    n = len(rho)
    pairs = [rho[0] + rho[1]]
    t = 2
    while t + 1 < n - 1 and (pair := rho[t] + rho[t + 1]) > 0:
        pairs.append(min(pair, pairs[-1]))
        t += 2
    # The first of the pair at which it ended counts where it is positive (Geyer 1992).
    tail = max(rho[t], 0.0) if t < n - 1 else 0.0
    return float(-1 + 2 * sum(pairs) + tail)
