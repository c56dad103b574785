TITLE = "signals"


def tries(ground, chance):
    return iter(())
