"""What was found about progress measures, for a reader who knows none of the terms."""

from __future__ import annotations

from collections.abc import Sequence

from grokinterp.experiments.claims import Claim

_NOTHING = "Too few networks generalized late in these runs to say how the circuit formed."


def in_plain_words(claims: Sequence[Claim]) -> str:
    """Return what the four main claims say."""
    ahead, random, phases, sparse = claims[:4]
    n = ahead.numbers["n_late"]
    if n == 0:
        return _NOTHING
    return " ".join([_ahead(ahead), _random(random), _phases(phases), _sparse(sparse)])


def _of(claim: Claim) -> str:
    return f"in {claim.numbers['n_holds']} of {claim.numbers['n_counted']} networks"


def _ahead(claim: Claim) -> str:
    measures = (
        "Two measures made from the circuit that a network ends with, what it loses without the "
        "circuit and what the circuit does alone,"
    )
    if claim.verdict == "confirmed":
        return f"{measures} moved before the loss on new examples did {_of(claim)}."
    if claim.verdict == "not confirmed":
        return (
            f"{measures} both moved before the loss on new examples only {_of(claim)}: they tell "
            "no earlier than that loss itself that a network will generalize."
        )
    return f"Whether {measures[0].lower()}{measures[1:]} move before the loss on new examples " + (
        f"stays open: they did {_of(claim)}."
    )


def _random(claim: Claim) -> str:
    if claim.verdict == "confirmed":
        return f"Random frequencies showed nothing of the kind {_of(claim)}."
    if claim.verdict == "not confirmed":
        return f"Random frequencies showed nothing of the kind only {_of(claim)}."
    return "How random frequencies compare stays open."


def _phases(claim: Claim) -> str:
    what = "memorization, then a circuit, then a cleanup of the weights"
    if claim.verdict == "confirmed":
        return f"Training went in three phases, {what}, {_of(claim)}."
    if claim.verdict == "not confirmed":
        return f"Three phases, {what}, were there only {_of(claim)}."
    return f"Whether training goes in three phases, {what}, stays open."


def _sparse(claim: Claim) -> str:
    if claim.verdict == "confirmed":
        return f"A few frequencies explain nearly all of what the network computes {_of(claim)}."
    if claim.verdict == "not confirmed":
        return f"A few frequencies explain what the network computes only {_of(claim)}."
    return "Whether a few frequencies explain what the network computes stays open."
