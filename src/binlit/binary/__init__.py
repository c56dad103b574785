"""Where a net is binary: the units of activations and weights, their surrogate, and the placing of them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
