TITLE = "batches"


def tries(ground, chance):
    return iter(())
