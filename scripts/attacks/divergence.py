TITLE = "divergence"


def tries(ground, chance):
    return iter(())
