TITLE = "kernel_cache"


def tries(ground, chance):
    return iter(())
