"""Slips of the keyboard: a line or two that name the value, what is allowed and the nearest name; status 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

import binlit.command.entry  # noqa: F401 - registers the resolvers
from binlit.callbacks import options as callbacks
from binlit.config import check, fingerprint, row_of, run_folder
from binlit.config.versions import up_to_date
from binlit.errors import ConfigError
from binlit.paths import config_dir, repository


def composed(*overrides: str) -> dict:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return check(compose("config", list(overrides)))


STOP = "+callbacks.stop={_target_: pytorch_lightning.callbacks.EarlyStopping, monitor: val/loss}"
SLIPS = [
    ("+experimnt=mnist", ["experimnt", "+experiment=mnist"]),
    ("experiment=mnist", ["+experiment=NAME", "mnist_table"]),
    ("+experiment=mnst", ["mnst", "did you mean mnist?"]),
    ("binary.layr=2", ["binary.layr", "did you mean binary.layer?"]),
    ("+binary.layr=2", ["binary.layr", "did you mean binary.layer?"]),
    ("binary.layer=7", ["binary.layer=7", "mnist_cnn", "2 sites", "1 to 2", "did you mean 2?"]),
    ("binary.layer=[1,3]", ["binary.layer=3", "2 sites"]),
    ("binary.layer=0", ["binary.layer=0", "did you mean 1?"]),
    ("binary.layer=al", ["binary.layer=al", "did you mean all?"]),
    ("binary.mode=sometimes", ["binary.mode=sometimes", "stochastic or deterministic"]),
    ("binary.levels=10", ["binary.levels=10", "01 or pm1"]),
    ("seed=-1", ["seed=-1", "greater than or equal to 0"]),
    ("seed=one", ["seed='one'", "integer"]),
    ("threads=many", ["threads=many", "auto, or a number"]),
    ("estimator=rlo", ["estimator=rlo", "did you mean rloo?"]),
    ("scheduler=cosin", ["scheduler=cosin does not exist", "did you mean cosine?"]),
    ("dataset=minst", ["dataset=minst", "did you mean mnist?"]),
    ("estimator.draws=4", ["estimator.draws"]),
    ("trainer.max_epoch=3", ["did you mean trainer.max_epochs?"]),
    ("trainer.max_epochs=0", ["trainer.max_epochs=0", "greater than or equal to 1"]),
    ("trainer.precision=bf16", ["did you mean bf16-mixed?"]),
    ("optimizer.lr=fast", ["optimizer.lr='fast'", "number"]),
    ("optimizer.lr=nan", ["optimizer.lr"]),
    ("model.classes=11", ["model.classes", "follows from the data set"]),
    ("binary.eval_draws=5", ["binary.eval_draws=5", "binary.eval=mean"]),
    ("callbacks.best.monitor=val/los", ["val/los is not logged", "did you mean val/loss?"]),
    ("trainer.devices=2", ["trainer.devices=2", "1"]),
    ("trainer.limit_test_batches=0", ["trainer.limit_test_batches=0"]),
    ("model.sites=[features.act9]", ["model.sites", "leave it out"]),
    ("binary.layer='²'", ["binary.layer=²"]),
    ("binary.share=0", ["binary.share=0", "greater than 0"]),
    ("task=few_shot", ["dataset=digits does not fit task=few_shot", "dataset=glyphs_fewshot or omniglot_fewshot"]),
    ("dataset=omniglot_fewshot", ["does not fit task=classification", "dataset=cifar10 or digits"]),
    ("model=conv4", ["model=conv4 does not fit task=classification"]),
    ("callbacks.best.monitr=x", ["did you mean callbacks.best.monitor?"]),
    ("trainer.check_val_every_n_epoch=11", ["no validation in", "callbacks.best=null"]),
    (
        "dataset.val_episodes=5",
        ["with the options that are chosen", "dataset=glyphs_fewshot or dataset=omniglot_fewshot"],
    ),
]


FEW_SHOT = ["dataset=glyphs_fewshot", "task=few_shot", "model=conv4"]


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["dataset=omniglot", "dataset.classes=al"], ["dataset.classes=al", "background, all", "did you mean all?"]),
        (["dataset=glyphs", "dataset.classes=all"], ["dataset.classes='all'"]),
        (
            ["dataset=glyphs", "dataset.rotations=[45]"],
            ["dataset.rotations=45 is not allowed; choose 0 or 90 or 180 or 270$"],
        ),
        (["dataset=omniglot", "dataset.rotations=90"], ["dataset.rotations=90", "list"]),
        (["dataset=omniglot", "dataset.rotations=[0,0]"], ["dataset.rotations=[0, 0]", "twice"]),
        (["dataset=omniglot", "dataset.classes=5000"], ["dataset.classes=5000", "at most 1623"]),
        (["dataset=glyphs", "dataset.classes=7", "dataset.rotations=[0,90]"], ["dataset.classes=7", "multiple of 2"]),
        (["dataset=omniglot", "dataset.validation=19"], ["dataset.validation=19", "20 drawings"]),
        (["dataset=omniglot", "dataset.image_size=400"], ["dataset.image_size=400", "105"]),
        (
            ["dataset=omniglot", "model=omniglot_cnn", "+model.image_size=105"],
            ["no setting", "28"],
        ),
        ([*FEW_SHOT, "dataset.query=20"], ["dataset.shot and dataset.query ask for 21 drawings", "there are 20"]),
        ([*FEW_SHOT, "dataset.train_shot=9", "dataset.train_query=12"], ["dataset.train_query ask for 21 drawings"]),
        ([*FEW_SHOT, "dataset.also=[[5,6]]"], ["ask for 21 drawings"]),
        (["dataset=glyphs", "dataset.image_size=32"], ["dataset.image_size=32", "mnist_cnn"]),
        ([*FEW_SHOT, "dataset.way=1"], ["dataset.way=1", "greater than or equal to 2"]),
        ([*FEW_SHOT, "dataset.also=[[5]]"], ["dataset.also"]),
        ([*FEW_SHOT, "task.head=protopical"], ["task.head=protopical", "did you mean prototypical?"]),
        ([*FEW_SHOT, "task.distance=l2"], ["task.distance=l2", "squared_l2 or cosine"]),
        ([*FEW_SHOT, "callbacks=probe"], ["callbacks=probe", "classification"]),
        ([*FEW_SHOT, "estimator=bitflip"], ["estimator=bitflip", "share losses", "rloo"]),
        ([*FEW_SHOT, "dataset.also=[[5,1]]"], ["dataset.also=[[5, 1]]", "tested anyhow"]),
        ([*FEW_SHOT, "dataset.also=[[5,5],[5,5]]"], ["a kind of episode twice"]),
        ([*FEW_SHOT, "binary.layer=output"], ["binary.layer=output", "write last"]),
        (["+experiment=glyphs_fewshot", "dataset=glyphs"], ["dataset.train_way", "dataset=glyphs_fewshot or"]),
        (["+experiment=omniglot_fewshot", "task=classification"], ["task.scale", "task=few_shot has it"]),
    ],
)
def test_slips_of_characters_and_episodes(overrides, parts):
    with pytest.raises(ConfigError) as caught:
        composed(*overrides)
    for part in parts:
        assert part in str(caught.value) + "$"


@pytest.mark.parametrize(
    ("overrides", "count"),
    [
        ([], 964),
        (["dataset.classes=all"], 1623),
        (["dataset.classes=all", "dataset.rotations=[0,90]"], 3246),
        (["dataset.classes=7"], 7),
    ],
)
def test_names_of_classes_become_numbers_that_the_net_follows(overrides, count):
    cfg = composed("dataset=omniglot", "model=omniglot_cnn", *overrides)
    assert cfg["dataset"]["classes"] == cfg["model"]["classes"] == count


def test_settings_of_weights_count_where_weights_are_binary():
    plain = [composed("binary=none", *more) for more in ([], ["weight=xnor"], ["weight.mode=stochastic"])]
    assert len({fingerprint(cfg) for cfg in plain}) == 1
    cases = [[], ["weight=xnor"], ["weight.mode=stochastic"], ["estimator@weight.estimator=ede"], ["binary.weights=1"]]
    binary = [composed("binary=weights", *more) for more in cases]
    assert len({fingerprint(cfg) for cfg in [plain[0], *binary]}) == 1 + len(cases)
    same = composed("binary=weights", "estimator=rloo", "binary.threshold=0.5")  # no activation is binary
    assert fingerprint(same) == fingerprint(binary[0])
    assert "weights-all-bnn" in run_folder(binary[0])


def test_records_that_were_published_keep_their_fingerprint():
    """A setting that came later must not make a finished run one that has still to be run."""
    top = repository()
    assert top is not None
    seen = 0
    for path in top.glob("docs/results/*/records.jsonl"):
        for record in map(json.loads, path.read_text().splitlines()):
            if "kind" not in record:
                seen += 1
                assert fingerprint(record["config"]) == record["fingerprint"], (path, record["row"])
    assert seen > 200


def test_all_channels_binary_is_what_it_was_before_there_were_shares():
    cfg = composed()
    old = composed()
    del old["binary"]["share"]
    assert fingerprint(cfg) == fingerprint(old)
    assert "share" not in row_of(cfg)
    half = composed("binary.share=0.5")
    assert fingerprint(half) != fingerprint(cfg)
    assert row_of(half)["share"] == 0.5
    assert "share-0.5" in run_folder(half)


@pytest.mark.parametrize(("override", "parts"), SLIPS)
def test_a_slip_is_explained(override, parts, monkeypatch, capsys, tmp_path):
    from binlit.command import entry as cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["binlit-train", override])

    def never(_cfg) -> None:
        raise AssertionError("the run began")

    with pytest.raises(SystemExit) as ended:
        cli.run_hydra(never)
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) <= 2
    assert all(part in said for part in parts), said
    assert not list(tmp_path.iterdir())  # nothing was made


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["estimator=rloo", "estimator.draws=1"], "at least 2"),
        (["estimator=rloo", "estimator.draws=[4]", "estimator.repeat_at=inputs"], "site or input"),
        (["estimator=rloo", "estimator.draws=[4,2,2]"], "one count for each of the 2 sites"),
        (["estimator=rloo", "estimator.draws=[1,2]"], "at least 2 at site 1"),
        (["estimator=rloo", "binary.surrogate=hard_sigmoid"], "needs binary.surrogate=logistic"),
        (["estimator=reinforce", "estimator.decay=1.0"], "estimator.decay"),
        (["estimator=rloo", "estimator.draws=[1,4]", "binary.layer=features.act1"], "at least 2 at site 1"),
        (["estimator=rloo", "estimator.draws=[2,4]", "binary.layer=output"], "no count for the output"),
        (["model=mlp", "+model.inputs=100"], "model.inputs=100 is no setting: the data set makes it 784"),
        (
            ["binary.weights=4"],
            r"binary.weights=4 does not exist: model 'mnist_cnn' has 3 layers with a weight; choose 1 ",
        ),
        (["binary.weights=features.conv3"], r"did you mean features.conv"),
        (["binary.weights=all", "estimator@weight.estimator=rloo"], "a weight's bit is shared by all examples"),
        (["binary.weights=all", "estimator@weight.estimator=reinmax"], "draws no bit, and reinmax is about the draw"),
        (
            ["binary.weights=all", "weight.scale=xnr"],
            r"weight.scale=xnr is not allowed; choose none or xnor or learned",
        ),
        (["binary.weights=all", "weight.clip=true"], "weight.clip"),
        (["binary.weights=all", "+weight.clipp=none"], "did you mean weight.clip"),
        (["optimizer=bop"], "optimizer=bop flips binary weights, and binary.weights is null"),
        (["model=mlp", "binary.weights=inner"], "binary.weights=inner leaves nothing binary: model 'mlp' has 2"),
        (["binary.layer=inner"], "binary.layer=inner leaves nothing binary: model 'mnist_cnn' has 2"),
        (
            ["optimizer=bop", "binary.weights=all", "estimator@weight.estimator=approx_sign"],
            "choose st or",
        ),
        (["optimizer=bop", "binary.weights=all", "weight=xnor"], "no latent weights to draw from or to scale by"),
        (["task.loss=hinge"], "choose cross_entropy or squared_hinge"),
        (
            ["dataset=cifar10", "dataset.download=false"],
            "dataset.channels=3 does not fit model 'mnist_cnn', which takes 1; choose model=.*bnn_convnet",
        ),
        (["dataset=mnist", "dataset.image_size=30"], "dataset.image_size=30"),
    ],
)
def test_contradictions_are_explained(overrides, message):
    with pytest.raises(ConfigError, match=message):
        composed(*overrides)


@pytest.mark.parametrize(
    ("overrides", "follows"),
    [
        (["model=mlp", "model.hidden=[10,10]"], {"inputs": 784, "sites": ["features.act1", "features.act2"]}),
        (["dataset=cifar10", "model=mlp"], {"inputs": 3072, "classes": 10}),
        (["model=bireal_resnet", "model.widths=[8]"], {"sites": ["features.act1", "features.act2"], "channels": 1}),
        (["model=bnn_mlp", "model.hidden=[8,8]"], {"layers": ["features.fc1", "features.fc2", "classifier"]}),
        (["dataset=glyphs", "dataset.image_size=40", "model=omniglot_cnn"], {"image_size": 40, "classes": 50}),
    ],
)
def test_what_a_net_takes_follows_from_its_widths_and_the_data(overrides, follows):
    assert {key: composed(*overrides)["model"][key] for key in follows} == follows


def test_a_sweep_is_checked_whole_before_it_starts(command, tmp_path):
    done = command("train", "-m", "seed=0,1", "binary.layer=1,9")
    assert done.returncode == 2
    assert "binary.layer=9 does not exist" in done.stderr
    assert "nothing was started" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "outputs").exists()


def test_help_and_errors_answer_without_torch(cli):
    """Heavy imports come late: neither path loads torch. (scripts/bench_startup.py measures the time.)"""
    said = cli("train", "binary.layer=7", PYTHONPROFILEIMPORTTIME="1")
    assert said.returncode == 2
    assert not [line for line in said.stderr.splitlines() if line.endswith((" torch", " pytorch_lightning"))]
    shown = cli("train", "--help", PYTHONPROFILEIMPORTTIME="1")
    assert shown.returncode == 0
    assert "+experiment=" in shown.stdout
    assert not [line for line in shown.stderr.splitlines() if line.endswith(" torch")]


def test_a_command_with_a_config_of_its_own_names_its_own_settings(command):
    said = command("evaluate", "checkpoint=x", "dataset.val_episodes=5")
    assert said.returncode == 2
    assert "this command has no setting 'dataset.val_episodes'; did you mean dataset.test_episodes?" in said.stderr


def test_seed_zero_is_a_seed():
    assert composed("seed=0")["seed"] == 0
    assert composed("seed=0")["dataset"]["seed"] == 0
    assert fingerprint(composed("seed=0")) != fingerprint(composed("seed=1"))


def test_own_classes_may_have_keys_of_their_own():
    cfg = composed("estimator.name=mine", "estimator._target_=mine.Rule", "+estimator.strength=3")
    assert cfg["estimator"]["strength"] == 3


@pytest.mark.parametrize(
    ("overrides", "row"),
    [
        (["binary=none"], ["none"] * 4),
        (["binary.layer=first"], ["1", "stochastic", "st", "none"]),
        (["binary.layer=2", "binary.mode=deterministic"], ["2", "deterministic", "st", "none"]),
        (["binary.layer=[2,1]", "anneal=linear"], ["all", "stochastic", "st", "linear"]),
        (["binary.layer=all", "estimator=rloo"], ["all", "stochastic", "rloo", "none"]),
        (["model=mlp", "binary.layer=all"], ["1", "stochastic", "st", "none"]),
        (["binary.layer=output"], ["output", "stochastic", "st", "none"]),
        (["binary=weights"], ["none"] * 4 + ["all", "bnn"]),
        (["binary=bnn", "weight=xnor"], ["all", "deterministic", "st", "none", "all", "xnor"]),
        (["binary.layer=1", "binary.weights=inner"], ["1", "stochastic", "st", "none", "2", "bnn"]),
        (["binary=weights", "estimator@weight.estimator=ede"], ["none"] * 4 + ["all", "bnn, ede"]),
        (["binary=weights", "optimizer=bop"], ["none"] * 4 + ["all", "bop"]),
    ],
)
def test_rows_have_canonical_names(overrides, row):
    assert list(row_of(composed(*overrides)).values()) == row


@pytest.mark.parametrize("rule", ["st", "st_clipped"])
def test_the_hard_sigmoid_has_one_fingerprint_under_both_names(rule):
    cfg = composed(
        "binary.layer=1", "binary.weights=all", f"estimator={rule}", f"estimator@weight.estimator={rule}"
    )  # fmt: skip
    for part in (cfg["binary"], cfg["estimator"], cfg["weight"], cfg["weight"]["estimator"]):
        own, folders = part["surrogate"], {}
        for part["surrogate"] in ("hard_sigmoid", "hard_tanh", "logistic"):
            known = up_to_date(cfg)
            folders[part["surrogate"]] = (fingerprint(known), run_folder(known))
        part["surrogate"] = own
        assert folders["hard_sigmoid"] == folders["hard_tanh"] != folders["logistic"]
    cfg["model"]["activation"] = "hard_tanh"  # which is no other name of the activation
    assert fingerprint(up_to_date(cfg)) != folders["hard_tanh"][0]


def test_fingerprint_sees_what_decides_and_only_that():
    base = fingerprint(composed())
    same = [
        ["threads=2"],
        ["output_dir=elsewhere"],
        ["logger=none"],
        ["name=other"],
        ["binary.layer=[1,2]"],
        ["resume=false"],
        ["binary.layer=[features.act2,1]"],
        ["binary.layer=[all]"],
        ["callbacks.monitor.every=7"],
        ["callbacks.monitor=null"],
    ]
    assert {fingerprint(composed(*overrides)) for overrides in same} == {base}
    other = [
        ["callbacks.best.monitor=val/acc", "callbacks.best.mode=max"],
        ["callbacks.best=null"],  # the last epoch is tested
        ["seed=1"],
        ["binary.layer=1"],
        ["trainer.max_epochs=3"],
        ["optimizer.lr=0.2"],
        ["binary.threshold=0.1"],
    ]
    found = [fingerprint(composed(*overrides)) for overrides in other]
    assert len({base, *found}) == len(other) + 1
    last = [fingerprint(composed(f"callbacks.best{key}=null")) for key in ("", ".monitor")]
    assert len({base, *last, fingerprint(composed(STOP)), fingerprint(composed("callbacks.best=null", STOP))}) == 4
    assert len(set(last)) == 1
    plain = [
        ["binary=none", *extra] for extra in ([], ["estimator=rloo"], ["binary.mode=deterministic"], ["anneal=step"])
    ]
    assert len({fingerprint(composed(*overrides)) for overrides in plain}) == 1
    assert json.dumps(composed())  # plain containers


@pytest.mark.parametrize(
    ("overrides", "metric", "file"),
    [
        ([], "val/loss", "best.ckpt"),
        (["callbacks.best.monitor=val/acc", "callbacks.best.mode=max"], "val/acc", "best.ckpt"),
        (["callbacks.best.filename=smallest"], "val/loss", "smallest.ckpt"),
        (["callbacks.best=null"], None, "last.ckpt"),
        (["callbacks.best=null", STOP], None, "last.ckpt"),  # it watches a metric, and keeps nothing
    ],
)
def test_the_tested_epoch_is_that_of_the_callback_that_keeps_checkpoints(overrides, metric, file):
    cfg = composed(*overrides)
    assert (callbacks.chosen_by(cfg), callbacks.tested_checkpoint(cfg)) == (metric, file)


def test_draws_of_weights_at_test_time_decide_too():
    drawn = ["binary=weights", "weight.mode=stochastic", "weight.eval=sample"]
    many = ["binary.eval=mean", "binary.eval_draws=20"]
    assert fingerprint(composed(*drawn)) != fingerprint(composed(*drawn, *many))
    fixed = ["binary=weights", "weight.eval=threshold"]
    assert fingerprint(composed(*fixed)) == fingerprint(composed(*fixed, *many))


@pytest.mark.parametrize("layer", ["4", "last", "[4]", "'4'", "[features.act4]"])
def test_a_recipe_does_not_depend_on_how_a_layer_is_spelled(layer):
    few = composed("+experiment=omniglot_fewshot", f"binary.layer={layer}")
    assert few["task"]["scale"] == 0.33
    assert fingerprint(few) == fingerprint(composed("+experiment=omniglot_fewshot", "binary.layer=4"))


def test_the_scale_of_bits_is_that_of_squared_distances():
    def scale(*overrides):
        return composed("+experiment=omniglot_fewshot", *overrides)["task"]["scale"]

    assert [scale(f"binary.layer={layer}") for layer in ("null", "3", "[3,4]", "all")] == [None, None, 0.33, 0.33]
    assert scale("binary.layer=4", "binary.levels=pm1") == 0.0825
    assert scale("binary.layer=4", "task.distance=cosine") is None
    assert scale("binary.layer=4", "binary.share=0.5") is None  # the real half can choose its own
    for weights in ("all", "[1,2,3,4]", "inner"):
        study_b = composed("+experiment=binary_weights_mlp", f"binary.weights={weights}")
        assert (study_b["model"]["dropout"], study_b["trainer"]["max_epochs"]) == (0, 50)


def test_without_a_binary_layer_an_estimator_changes_nothing():
    plain, same = ["+experiment=omniglot", "binary.layer=null"], ["estimator=rloo"]
    assert fingerprint(composed(*plain)) == fingerprint(composed(*plain, *same))
    assert composed(*plain[:1], "binary.layer=1", *same)["optimizer"]["lr"] == 0.001


def test_a_choice_on_the_command_line_wins_over_the_experiments(monkeypatch):
    """The MNIST experiments choose scheduler, step and draws for each estimator; none of these is forced on anybody."""
    score = composed("+experiment=mnist", "estimator=rloo")
    assert (score["scheduler"]["name"], score["optimizer"]["lr"], score["estimator"]["draws"]) == (
        "cosine",
        0.03,
        [4, 8],
    )
    assert composed("+experiment=mnist", "estimator=st")["scheduler"] == {"name": "none", "_target_": None}
    for scheduler in ("none", "step", "exponential"):
        chosen = composed("+experiment=mnist", "estimator=rloo", f"scheduler={scheduler}")["scheduler"]
        assert chosen["name"] == scheduler
    adam = composed(
        "+experiment=mnist", "estimator=rloo", "optimizer=adam", "estimator.draws=2", "trainer.gradient_clip_val=3"
    )
    assert (adam["optimizer"]["lr"], adam["estimator"]["draws"]) == (0.001, 2)
    assert adam["trainer"]["gradient_clip_val"] == 3


def test_folder_names_can_be_given_back_to_hydra():
    name = run_folder(composed("binary.layer=2", "seed=3"))
    assert name.startswith("layer-2_stochastic_st_seed-3_")
    assert "=" not in name


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["estimator=concrete", "estimator.temperature=0.0"], ["estimator.temperature=0.0", "greater than 0"]),
        (["estimator=rebar", "estimator.temperature=-1.0"], ["estimator.temperature=-1.0", "greater than 0"]),
        (["estimator=arms", "estimator.draws=1"], ["estimator.draws=1", "at least 2"]),
        (["estimator=arms", "estimator.draws=[1,4]", "binary.layer=1"], ["arms needs at least 2 at site 1"]),
        (
            ["estimator=disarm", "estimator.groups=[1,2,3]"],
            ["estimator.groups=[1, 2, 3]", "one count for each of the 2"],
        ),
        (["estimator=disarm", "binary.surrogate=hard_sigmoid"], ["is a score function", "binary.surrogate=logistic"]),
        (["estimator=st_gumbel", "binary.surrogate=hard_tanh"], ["is a relaxation", "binary.surrogate=logistic"]),
        (["estimator=reinmax", "binary.mode=deterministic"], ["draws no bit", "binary.eval=threshold"]),
        (["estimator=reste", "estimator.margin=2.0"], ["estimator.margin=2.0 must be < estimator.window=1.5"]),
        (["estimator=disarn"], ["did you mean disarm?"]),
    ],
)
def test_estimators_are_checked_before_anything_starts(command, overrides, parts):
    done = command("train", *overrides)
    assert done.returncode == 2
    for part in parts:
        assert part in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["units=[[13]]"], ["units=[13] are 13 in all", "12"]),
        (["units=[[7,6]]"], ["13 in all"]),
        (["units=[[4,4,4]]"], ["units="]),
        (["estimators=[disarn]"], ["did you mean disarm?"]),
        (["draws=500"], ["draws=500"]),
        (["+options.rloo.draws=1"], ["at least 2"]),
        (["+options.st.draws=1"], ["options.st.draws", "no such option"]),
        (["drws=5000"], ["drws"]),
    ],
)
def test_a_study_is_checked_before_anything_starts(command, overrides, parts):
    done = command("gradients", *overrides)
    assert done.returncode == 2, done.stderr
    for part in parts:
        assert part in done.stderr
    assert "Traceback" not in done.stderr


def test_experiments_still_ask_for_the_runs_that_were_published():
    """A change of a shared recipe must not move what another experiment's committed records are records of."""
    records = Path(__file__).parents[2] / "docs" / "results" / "omniglot_fewshot_published" / "records.jsonl"
    have = {json.loads(line)["fingerprint"] for line in records.read_text(encoding="utf-8").splitlines()}
    rows = ["binary.mode=deterministic", "estimator=st"]
    for layer in ("null", "1", "2", "3", "4"):
        cfg = composed("+experiment=omniglot_fewshot_published", *rows, f"binary.layer={layer}")
        assert fingerprint(cfg) in have, layer
