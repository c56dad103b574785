TITLE = "records"


def tries(ground, chance):
    return iter(())
