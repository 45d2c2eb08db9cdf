"""What was found, for a reader who knows none of the terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grokinterp.experiments.claims import Claim, Verdict

_SETTING = (
    "A network whose output is multiplied by a large number fits its examples while its weights "
    "hardly change, and is called lazy. With a small number its weights move far."
)
_DELAY: Mapping[Verdict, str] = {
    "confirmed": "Without weight decay, networks with a small output scale (0.1) learned the rule "
    "about when they knew their examples. Those with a larger one (5) learned it long after: the "
    "error on new examples fell at least three times as late as that on known ones.",
    "not confirmed": "Lazier networks were not seen to learn the rule later than their examples. "
    "At output scale 0.1, where there should be no delay, the error on new examples fell "
    "{delay:.1f} times as late as that on known ones.",
    "inconclusive": "These runs do not decide whether lazier networks learn the rule later than "
    "their examples.",
}
_FLOOR: Mapping[Verdict, str] = {
    "confirmed": "At output scale 20 the network is so lazy that it ends where a fixed method "
    "does: regression with the kernel of its initial weights.",
    "not confirmed": "At output scale 20 the network does not end where a lazy one would. Its "
    "error on new examples is {ratio:.0%} of the error of a fixed method, regression with the "
    "kernel of its initial weights.",
    "inconclusive": "These runs do not decide whether the network at output scale 20 is so lazy "
    "that it ends where regression with the kernel of its initial weights does.",
}
_LIMIT: Mapping[Verdict, str] = {
    "confirmed": "The larger the output scale, the nearer the network comes to that method. At a "
    "scale of {largest_alpha:g} the two agree within a quarter.",
    "not confirmed": "Nor do networks come to agree with that method as the output scale grows.",
    "inconclusive": "Whether networks come to agree with that method as the output scale grows "
    "stays open.",
}
_GROWTH: Mapping[Verdict, str] = {
    "confirmed": "Between the two falls the weights grew, so it takes no shrinking of weights to "
    "learn a rule late.",
    "not confirmed": "The weights did not always grow between the two falls, unlike in the paper.",
    "inconclusive": "Whether the weights grow between the two falls stays open.",
}
_ADDITION: Mapping[Verdict, str] = {
    "confirmed": "On addition, a network learned the rule late from small initial weights. From "
    "lazy ones it did not within the steps it was given.",
    "not confirmed": "On addition, lazy initial weights did not keep a network from the rule.",
    "inconclusive": "What lazy initial weights do on addition stays open.",
}
_KERNEL: Mapping[Verdict, str] = {
    "confirmed": "The lazier the network, the less its weights and kernel moved.",
    "not confirmed": "Lazier networks did not move less.",
    "inconclusive": "Whether lazier networks move less stays open.",
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
    words = _SETTING, _DELAY[delay.verdict], _FLOOR[floor.verdict], limits, *last
    return " ".join(words).format(**numbers)
