"""How far a share that was counted on few examples can be off."""

from search_spaces.errors import NasError


def binomial_interval(errors: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of the error behind `errors` wrong answers out of `n`, as shares.

    The exact interval of Clopper and Pearson (1934): it covers the true error at least with
    probability `confidence`, also at 0 errors. Raises `NasError` unless 0 <= errors <= n, n >= 1.
    """
    if n < 1 or not 0 <= errors <= n:
        raise NasError(f"no interval for {errors} errors out of {n}: needs 0 <= errors <= n, n > 0")
    if not 0 < confidence < 1:
        raise NasError(f"confidence is {confidence}: it must lie between 0 and 1")
    from scipy.stats import beta

    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, errors, n - errors + 1)) if errors > 0 else 0.0
    high = float(beta.ppf(1 - tail, errors + 1, n - errors)) if errors < n else 1.0
    return low, high
