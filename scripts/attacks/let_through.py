TITLE = "let_through"


def tries(ground, chance):
    return iter(())
