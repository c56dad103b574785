from .bop import Bop as Bop
