TITLE = "kills"


def tries(ground, chance):
    return iter(())
