"""What a net is made of, before any training: python -m binlit.summary +experiment=bnn_mnist_mlp

Takes what binlit.train takes. For each layer: shape, parameters by bit width, binary and float multiplications, memory,
and whether weights and inputs are really binary.
"""

from __future__ import annotations

from omegaconf import DictConfig

from binlit.command.entry import run_hydra
from binlit.config import check
from binlit.running.quick_import import load_libraries


def main() -> None:
    run_hydra(job, "summary")


def job(cfg: DictConfig) -> None:
    """Prints the inventory of the net of a config."""
    config = check(cfg)
    load_libraries()
    from binlit.binary.inventory import inventory, show_inventory
    from binlit.running.announce import shown_warnings
    from binlit.running.build import build_net, example_images

    with shown_warnings():
        net = build_net(config)
    show_inventory(inventory(net, example_images(config)), f"{config['name']}: {config['model']['name']}", net=net)


if __name__ == "__main__":
    main()
