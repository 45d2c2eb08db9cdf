"""How long a thread waits for the others before it gives its core away."""

from __future__ import annotations

from collections.abc import MutableMapping

SPIN_COUNT = 5000
"""Rounds of a loop, some tenths of a millisecond. By default GNU OpenMP waits for much longer, on
the core that the other thread or another program needs: with one of two cores busy a step of 7 ms
took 1,024. With 5,000 rounds it takes 27, and on an idle machine 5 to 9 % longer than without."""


def wait_briefly(environment: MutableMapping[str, str]) -> None:
    """Let waiting threads sleep soon, unless the user has chosen how they wait.

    GNU OpenMP reads its settings when it is loaded, so this works before torch is imported.
    Results do not depend on it.

    Parameters
    ----------
    environment
        Variables of the process, such as ``os.environ``.

    Examples
    --------
    >>> of_process = {"OMP_NUM_THREADS": "2"}
    >>> wait_briefly(of_process)
    >>> of_process["GOMP_SPINCOUNT"]
    '5000'
    """
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & environment.keys():
        environment["GOMP_SPINCOUNT"] = str(SPIN_COUNT)
