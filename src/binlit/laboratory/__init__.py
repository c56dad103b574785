"""The gradients themselves, measured against the truth: exact enumeration of small nets, and toys where bias shows.

Names are loaded on first use, so that the settings of a study are checked without waiting for torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
