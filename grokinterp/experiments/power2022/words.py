"""What was found about delayed generalization, for a reader who knows none of the terms."""

from __future__ import annotations

from collections.abc import Sequence

from grokinterp.experiments.claims import Claim


def in_plain_words(claims: Sequence[Claim]) -> str:
    """Return what the four main claims say."""
    plateau, fraction, symmetry, cubic = claims[:4]
    return " ".join([_plateau(plateau), _fraction(fraction), _symmetry(symmetry), _cubic(cubic)])


def _plateau(claim: Claim) -> str:
    n = claim.numbers
    if claim.verdict == "inconclusive":
        return "Whether networks generalize long after they memorize stays open in these runs."
    seen = (
        "Networks that learn to add from few examples know these by step "
        f"{n['median_memorization_step']:,.0f} and answer new ones {n['ratio']:.1f} times as late"
    )
    if claim.verdict == "confirmed":
        return f"{seen}. The change is sudden and follows a long time without progress: they grok."
    return f"{seen}. That is not the long wait and sudden change of grokking."


def _fraction(claim: Claim) -> str:
    if claim.verdict == "confirmed":
        return "The more examples they are given, the sooner they generalize."
    if claim.verdict == "not confirmed":
        return "More examples did not make them generalize sooner."
    return "Whether more examples make them generalize sooner stays open."


def _symmetry(claim: Claim) -> str:
    if claim.verdict == "confirmed":
        return "Subtraction and division come later than addition and multiplication."
    if claim.verdict == "not confirmed":
        return "Subtraction and division do not come later than addition and multiplication."
    return (
        "Whether subtraction and division come later than addition and multiplication stays open."
    )


def _cubic(claim: Claim) -> str:
    n = claim.numbers
    if claim.verdict == "confirmed":
        return (
            "Networks memorize cubic polynomials and do not generalize within the steps of these "
            "runs."
        )
    if claim.verdict == "not confirmed":
        return f"A cubic polynomial was learned, in {n['n_cubic_crossed']} of {n['n_cubic']} runs."
    return "Whether cubic polynomials are learned stays open."
