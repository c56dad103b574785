TITLE = "full_disks"


def tries(ground, chance):
    return iter(())
