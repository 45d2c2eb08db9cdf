"""How close two numbers must be, and why; each is a set of arguments for ``pytest.approx``."""

EXACT64 = {"rel": 1e-12, "abs": 1e-12}
"""The same algebra in float64, summed in another order."""

CHAINED64 = {"rel": 1e-9, "abs": 1e-9}
"""Several float64 products in a row, against an implementation that takes another route."""

FLOAT32 = {"rel": 2e-5, "abs": 2e-6}
"""One chain of float32 products over a few hundred terms, unit rounding 6e-8."""
