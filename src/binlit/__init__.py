"""binlit: a laboratory for binary neurons.

    import binlit
    record = binlit.run(["model=mlp", "binary.layer=1"])       # as the command line
    net = binlit.load(record.folder)                           # ready for images
    net = binlit.binarize(net, layers=[1], estimator="st")     # in a training loop of your own

`dir(binlit)` lists all of it. Names are loaded on first use: the command line answers without waiting for torch.
"""

__version__ = "0.1.0"

try:
    import lazy_loader
except ModuleNotFoundError:  # installed for inference alone, with numpy and safetensors: see pyproject.toml

    def __getattr__(name: str) -> object:
        raise AttributeError(
            f"binlit.{name} needs what `pip install binlit` brings; this is an installation for inference alone: "
            "from binlit.runtime import load"
        )
else:
    __getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
    __all__ += ["__version__"]
