"""What was found about weight decay, for a reader who knows none of the terms."""

from __future__ import annotations

from collections.abc import Sequence

from grokinterp.experiments.claims import Claim


def in_plain_words(claims: Sequence[Claim]) -> str:
    """Return what the claims on both slopes, on no decay and on too much say."""
    law, delay, none, too_much = claims[:4]
    return " ".join([_law(law), _delay(delay), _none(none), _too_much(too_much)])


def _law(claim: Claim) -> str:
    n = claim.numbers
    if "slope" not in n:
        return (
            "These runs are too few to say how the time until a network generalizes depends on the "
            "weight decay, the pressure that shrinks its weights."
        )
    power = f"as the weight decay to the power {n['slope']:.2f} ({n['low']:.2f} to {n['high']:.2f})"
    seen = (
        "Weight decay shrinks the weights of a network while it trains. The time until a network "
        f"generalizes, rather than memorizes, varies {power}."
    )
    if claim.verdict == "confirmed":
        return f"{seen} So half the weight decay takes about twice as long, as predicted."
    if claim.verdict == "not confirmed":
        return f"{seen} The predicted power of -1 is excluded."
    return f"{seen} That is not enough to settle whether the power is -1, as predicted."


def _delay(claim: Claim) -> str:
    n = claim.numbers
    if "slope" not in n:
        return "The delay after memorization could not be fitted."
    power = f"{n['slope']:.2f} ({n['low']:.2f} to {n['high']:.2f})"
    if claim.verdict == "confirmed":
        return f"The delay after memorization alone has a power of {power}, which agrees too."
    if claim.verdict == "not confirmed":
        return f"The delay after memorization alone does not follow the prediction: {power}."
    return f"The delay after memorization alone has a power of {power}, which leaves it open."


def _none(claim: Claim) -> str:
    n = claim.numbers
    if not n["n_runs"]:
        return "No run was without weight decay."
    if claim.verdict == "confirmed":
        return (
            f"Without weight decay, none of {n['n_runs']} networks generalized within "
            f"{n['last_step']:,.0f} steps."
        )
    if claim.verdict == "not confirmed":
        return f"Without weight decay {n['n_crossed']} of {n['n_runs']} networks generalized."
    return "What happens without weight decay stays open."


def _too_much(claim: Claim) -> str:
    n = claim.numbers
    if not n["n_runs"]:
        return "The strongest weight decay was not tried."
    if claim.verdict == "confirmed":
        return (
            "With the strongest weight decay, none learned even its training examples within "
            f"{n['last_step']:,.0f} steps."
        )
    if claim.verdict == "not confirmed":
        return "Even with the strongest weight decay networks learned their training examples."
    return "Whether the strongest weight decay prevents all learning stays open."
