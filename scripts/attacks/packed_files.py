TITLE = "packed_files"


def tries(ground, chance):
    return iter(())
