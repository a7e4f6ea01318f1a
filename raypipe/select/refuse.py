"""How a setting of selecting is refused: by its name, its rule and its value."""


def refuse_unless(is_valid: bool, name: str, rule: str, value: object) -> None:
    """See that a setting keeps its rule.

    Raises
    ------
    ValueError
        Naming the setting, its rule and its value.
    """
    if not is_valid:
        raise ValueError(f"{name} must be {rule}, got {value!r}.")


def refuse_unless_some(chosen: tuple[str, ...], name: str, allowed: tuple[str, ...]) -> None:
    """See that a setting names some of a few words, each once; raises as `refuse_unless`."""
    is_valid = set(chosen) <= set(allowed) and len(set(chosen)) == len(chosen)
    refuse_unless(is_valid, name, f"some of {allowed}, each once", chosen)
