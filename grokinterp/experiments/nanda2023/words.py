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
        "Two progress measures follow the circuit that a network ends with: the loss without "
        "that circuit, and the loss of that circuit alone. Both moved before the loss on new "
        "examples fell"
    )
    if claim.verdict == "confirmed":
        return f"{measures} {_of(claim)}."
    if claim.verdict == "not confirmed":
        return (
            f"{measures} only {_of(claim)}. They show no earlier than that loss itself that a "
            "network will generalize."
        )
    return f"{measures} {_of(claim)}. Whether they do so in general stays open."


def _random(claim: Claim) -> str:
    if claim.verdict == "confirmed":
        return f"Random frequencies showed nothing of the kind, {_of(claim)}."
    if claim.verdict == "not confirmed":
        return f"Random frequencies showed nothing of the kind only {_of(claim)}."
    return "How random frequencies compare stays open."


def _phases(claim: Claim) -> str:
    what = "memorization, then a circuit, then a cleanup of the weights"
    if claim.verdict == "confirmed":
        return f"Training went through three phases {_of(claim)}: {what}."
    if claim.verdict == "not confirmed":
        return f"Three phases were there only {_of(claim)}: {what}."
    return f"Whether training goes through three phases stays open: {what}."


def _sparse(claim: Claim) -> str:
    if claim.verdict == "confirmed":
        return f"A few frequencies explain nearly all of what a network computes, {_of(claim)}."
    if claim.verdict == "not confirmed":
        return f"A few frequencies explain what the network computes only {_of(claim)}."
    return "Whether a few frequencies explain what the network computes stays open."
