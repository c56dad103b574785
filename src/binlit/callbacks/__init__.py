"""What is watched: Lightning's callbacks that show what binary layers and weights do while a net is trained."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
