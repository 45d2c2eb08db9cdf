"""What was found about slingshots, for a reader who knows none of the terms."""

from __future__ import annotations

from collections.abc import Sequence

from grokinterp.experiments.claims import Claim


def in_plain_words(claims: Sequence[Claim]) -> str:
    """Return what the six main claims say."""
    spikes, cycles, epsilon, decay, generalization, float64 = claims[:6]
    if spikes.verdict != "confirmed":
        return (
            "Networks that are trained without weight decay showed too few sudden jumps of their "
            "training loss here, within their steps, to say what those come from."
        )
    return " ".join(
        [
            "Networks that know their examples and are trained on without weight decay suddenly "
            "lose those examples and regain them, again and again." + _cycles(cycles),
            _removed(epsilon, "a larger epsilon in Adam"),
            _removed(decay, "the paper's weight decay"),
            _removed(float64, "a loss that is computed in double precision"),
            _generalization(generalization),
        ]
    )


def _cycles(claim: Claim) -> str:
    if claim.verdict == "confirmed":
        return " Each time the weights of the last layer grow and then rest, as in the paper."
    if claim.verdict == "not confirmed":
        return " The weights of the last layer do not grow in steps with it, unlike in the paper."
    return ""


def _removed(claim: Claim, by: str) -> str:
    if claim.verdict == "confirmed":
        return f"With {by}, no network did so within the steps of these runs."
    if claim.verdict == "not confirmed":
        return f"With {by}, they still did."
    return f"Whether {by} prevents this stays open."


def _generalization(claim: Claim) -> str:
    if claim.verdict == "confirmed":
        return (
            "Networks came to answer new examples after such jumps; without them, not within the "
            "steps of these runs."
        )
    if claim.verdict == "not confirmed" and claim.numbers["n_generalized_without_slingshots"]:
        return "Networks without such jumps came to answer new examples as well."
    if claim.verdict == "not confirmed":
        return (
            "Not even many such jumps brought a network to answer new examples within the steps of "
            "these runs."
        )
    return "Whether such jumps bring a network to answer new examples stays open."
