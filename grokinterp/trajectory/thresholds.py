"""What counts as memorized, generalized, lasting, delayed and sharp."""

from __future__ import annotations

from dataclasses import dataclass

from grokinterp.fields import check_types, require


@dataclass(frozen=True)
class Thresholds:
    """What counts as memorized, generalized, lasting, delayed and sharp.

    Examples
    --------
    >>> Thresholds(grokking=0.99).patience
    1000
    """

    memorization: float = 0.99
    """Training accuracy above which the training pairs are memorized."""
    grokking: float = 0.95
    """Test accuracy above which the network has generalized."""
    patience: int = 1000
    """Steps for which an accuracy has to last above its threshold (or to the end)."""
    delay_ratio: float = 1.0
    """Generalization is delayed when it comes more than this many memorization times later."""
    width_ratio: float = 0.5
    """A delayed transition is sharp when it takes at most this fraction of the delay."""
    lasting_share: float = 0.5
    """Share of the tests of `patience` steps that must be above a threshold to last there."""
    end_share: float = 2 / 3
    """What takes its place at the end of the record: the share of tests above, where the end cuts
    these steps off, and the share of deep dips that is a loss for good."""
    dip_depth: float = 0.1
    """A test this far below the threshold is a deep dip: noise does not explain it."""
    dip_share: float = 0.2
    """Largest share of deep dips among the tests of an accuracy that lasts."""
    least_tests: int = 5
    """Tests that a stretch cut off by the end of the record needs to count as lasting ..."""
    least_unbroken: int = 3
    """... or this many, where all of them are above the threshold ..."""
    least_window: float = 0.05
    """... and in either case this fraction of `patience`, in steps."""
    unsettled_share: float = 0.125
    """An accuracy that never lasts is not settled, rather than low, when at least this share of
    the tests from its first crossing on is above the threshold."""
    rise: tuple[float, float] = (0.1, 0.9)
    """Fractions of the way from the plateau to 1 between which a transition is measured."""

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("memorization", "grokking"):
            is_fine = 0 <= getattr(self, name) < 1
            require(self, name, is_fine, "It is an accuracy: use a value in [0, 1).")
        require(self, "patience", self.patience >= 0, "Use 0 for the first crossing.")
        for name in ("delay_ratio", "width_ratio", "least_window"):
            require(self, name, getattr(self, name) >= 0, "Use a ratio of 0 or more.")
        for name in ("lasting_share", "end_share", "dip_depth", "dip_share", "unsettled_share"):
            require(self, name, 0 <= getattr(self, name) <= 1, "Use a value in [0, 1].")
        # What is lost lies above in at most dip_share of its tests, what is kept in end_share.
        is_fine = self.dip_share < self.end_share
        require(self, "dip_share", is_fine, f"It must be below end_share={self.end_share:g}.")
        for name in ("least_tests", "least_unbroken"):
            require(self, name, getattr(self, name) >= 1, "Use 1 or more tests.")
        low, high = self.rise
        require(self, "rise", 0 <= low < high <= 1, "Use two fractions, the smaller first.")
