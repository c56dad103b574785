"""What a net is made of, before any training: python -m binlit.summary +experiment=bnn_mnist_mlp

Takes what binlit.train takes. For each layer: shape, parameters by bit width, binary and float multiplications, memory,
and whether weights and inputs are really binary.
"""

from __future__ import annotations

from binlit.catalogue import Config
from binlit.command.entry import composed, run_plain
from binlit.running.quick_import import load_libraries


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0, or 2 where the config is wrong."""
    return run_plain(lambda words: summarise(composed(words)), __doc__ or "", arguments)


def summarise(cfg: Config) -> None:
    """Prints the inventory of the net of a checked config."""
    load_libraries()
    from binlit.binary.inventory import inventory, show_inventory
    from binlit.running.announce import shown_warnings
    from binlit.running.build import build_net, example_images

    with shown_warnings():
        net = build_net(cfg)
    show_inventory(inventory(net, example_images(cfg)), f"{cfg['name']}: {cfg['model']['name']}", net=net)


if __name__ == "__main__":
    raise SystemExit(main())
