"""binlit: a laboratory for binary neurons.

    import binlit
    net = binlit.binarize(net, layers=[1], estimator="st")

Names are loaded on first use, so that the command line answers without waiting for torch.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
