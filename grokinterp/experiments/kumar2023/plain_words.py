"""What was found, for a reader who knows none of the terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grokinterp.experiments.claims import Claim, Verdict

_SETTING = (
    "A network whose output is multiplied by a large number fits its examples with hardly any "
    "change of its weights, which is called lazy; with a small number its weights move far."
)
_DELAY: Mapping[Verdict, str] = {
    "confirmed": "Without weight decay, networks with a small output scale (0.1) learned the rule "
    "about when they knew their examples, and those with a larger one (5) long after: the error on "
    "new examples fell at least three times as late as that on known ones.",
    "not confirmed": "That lazier networks learn the rule later than their examples did not come "
    "out: at output scale 0.1, where there should be no delay, the error on new examples fell "
    "{delay:.1f} times as late as that on known ones.",
    "inconclusive": "Whether lazier networks learn the rule later than their examples, these runs "
    "do not decide.",
}
_FLOOR: Mapping[Verdict, str] = {
    "confirmed": "At output scale 20 the network is so lazy that it ends where a fixed method, "
    "regression with its initial weights' kernel, ends.",
    "not confirmed": "At output scale 20 the network does not end where a lazy one would: its "
    "error on new examples is then {ratio:.0%} of that of a fixed method, regression with its "
    "initial weights' kernel.",
    "inconclusive": "Whether the network at output scale 20 is so lazy that it ends where "
    "regression with its initial weights' kernel does, these runs do not decide.",
}
_LIMIT: Mapping[Verdict, str] = {
    "confirmed": "The larger the output scale the nearer it comes to that method, up to a scale of "
    "{largest_alpha:g}, where they agree within a quarter.",
    "not confirmed": "Nor do networks come to agree with that method as the output scale grows.",
    "inconclusive": "Whether networks come to agree with that method as the output scale grows "
    "stays open.",
}
_GROWTH: Mapping[Verdict, str] = {
    "confirmed": "Between the two falls the weights grew, so it takes no shrinking of weights to "
    "learn a rule late",
    "not confirmed": "The weights did not always grow between the two falls, unlike in the paper",
    "inconclusive": "Whether weights grow between the two falls stays open",
}
_ADDITION: Mapping[Verdict, str] = {
    "confirmed": "on addition a network learned the rule late from small initial weights, and from "
    "lazy ones not within the steps it was given.",
    "not confirmed": "on addition lazy initial weights did not keep a network from the rule.",
    "inconclusive": "what lazy initial weights do on addition stays open.",
}
_KERNEL: Mapping[Verdict, str] = {
    "confirmed": "the lazier the network, the less weights and kernel moved",
    "not confirmed": "lazier networks did not move less",
    "inconclusive": "whether lazier networks move less stays open",
}


def found_by(claims: Sequence[Claim]) -> str:
    """Word the verdicts on the six claims, in the order of the criterion."""
    delay, floor, limit, kernel, growth, addition = claims
    numbers = {
        "delay": delay.numbers.get("delay_alpha_0.1"),
        "ratio": floor.numbers.get("ratio"),
        "largest_alpha": limit.numbers.get("largest_alpha"),
    }
    limits = _LIMIT[limit.verdict]
    if floor.verdict != "not confirmed":
        limits = limits.replace("Nor do networks", "Networks do not")
    last = _GROWTH[growth.verdict], _KERNEL[kernel.verdict], _ADDITION[addition.verdict]
    words = _SETTING, _DELAY[delay.verdict], _FLOOR[floor.verdict], limits, "; ".join(last)
    return " ".join(words).format(**numbers)
