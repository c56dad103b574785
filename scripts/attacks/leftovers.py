TITLE = "leftovers"


def tries(ground, chance):
    return iter(())
