TITLE = "threads"


def tries(ground, chance):
    return iter(())
