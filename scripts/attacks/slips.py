TITLE = "slips"


def tries(ground, chance):
    return iter(())
