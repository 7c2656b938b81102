"""The work that every orchestrator is given: nothing, or the same slow function."""

STEPS, HEAVY_STEPS, HEAVY = 40, 10, 33


def fibonacci(number: int) -> int:
    return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)
