TITLE = "image_cache"


def tries(ground, chance):
    return iter(())
