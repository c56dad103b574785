TITLE = "data_files"


def tries(ground, chance):
    return iter(())
