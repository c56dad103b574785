"""The gradients themselves, measured against the truth: exact enumeration of small nets, and toys where bias shows."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from binlit.laboratory.measurement import Measurement as Measurement
    from binlit.laboratory.measurement import measure as measure
    from binlit.laboratory.net import Replicated as Replicated
    from binlit.laboratory.net import exact_gradient as exact_gradient
    from binlit.laboratory.net import small_net as small_net
    from binlit.laboratory.toy import descend as descend

# On first use, so that the settings of a study are checked without waiting for torch.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "measurement": ["Measurement", "measure"],
        "net": ["Replicated", "exact_gradient", "small_net"],
        "toy": ["descend"],
    },
)
