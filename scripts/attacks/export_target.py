TITLE = "export_target"


def tries(ground, chance):
    return iter(())
