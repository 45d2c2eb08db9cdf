"""Proofs of a network's accuracy that cost less than running it on every pair."""

from grokinterp.certificates.certificate import Certificate, Strategy
from grokinterp.certificates.certify import STRATEGIES, certify

__all__ = ["STRATEGIES", "Certificate", "Strategy", "certify"]
