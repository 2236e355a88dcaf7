"""Bad input: one message that names the key or file and the remedy, a code that is not 0, nothing half-written."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import Cli

ALL = ("hydra.run.dir=run", "trainer=debug")

# what is typed after `receptive train` (DATA: the test's data folder) -> words of the message
CASES: dict[str, tuple[list[str], list[str]]] = {
    "unknown option of a group": (["model=resnet19"], ["'model/resnet19', did you mean 'resnet18'"]),
    "unknown group": (["modle=net_a"], ["'modle'", "did you mean 'model'"]),
    "misspelt key": (["optimizer.lrr=0.1"], ["optimizer.lrr", "did you mean 'optimizer.lr'"]),
    "misspelt key of a data set": (["data.batchsize=3"], ["data.batchsize", "data.batch_size"]),
    "unknown key by +": (["+model.channel=[8]"], ["model.channel: MnistNet has no such option", "'channels'"]),
    "unknown top-level key by +": (["+sed=3"], ["sed", "did you mean 'seed'"]),
    "an option of another verb": (["+depth=2"], ["depth: there is no such option"]),
    "given by the builder": (["+model.num_classes=3"], ["model.num_classes"]),
    "text for a number": (["optimizer.lr=abc"], ["optimizer.lr=abc", "number"]),
    "negative learning rate": (["optimizer.lr=-1"], ["optimizer.lr=-1", "Invalid learning rate"]),
    "negative momentum": (["optimizer=sgd", "optimizer.momentum=-0.5"], ["optimizer.momentum=-0.5"]),
    "batch of nothing": (["data.batch_size=0"], ["data.batch_size=0", "greater than or equal to 1"]),
    "words for epochs": (["trainer.max_epochs=ten"], ["trainer.max_epochs=ten", "integer"]),
    "true for a number": (["optimizer.lr=true"], ["optimizer.lr=true", "number"]),
    "a float for a count": (["data.batch_size=32.0"], ["data.batch_size=32.0", "whole number"]),
    "no optimizer": (["~optimizer"], ["optimizer: choose one of conf/optimizer"]),
    "no seed": (["~seed"], ["seed: is missing"]),
    "a word for a list": (["target_prefixes=mine"], ["target_prefixes=mine", "[mine]"]),
    "half an epoch": (["trainer.max_epochs=1.5"], ["trainer.max_epochs=1.5", "integer"]),
    "no epochs": (["trainer.max_epochs=0"], ["trainer.max_epochs=0", "greater than or equal to 1"]),
    "unknown precision": (["trainer.precision=fp8"], ["trainer.precision=fp8", "'32-true'"]),
    "float16 on a CPU": (
        ["trainer.accelerator=cpu", "trainer.precision=16-mixed"],
        ["trainer.precision=16-mixed", "choose bf16-mixed"],
    ),
    "unknown metric": (["trainer.monitor=val/acuracy"], ["trainer.monitor=val/acuracy", "'val/accuracy'"]),
    "metric without validation": (["data.validation=0"], ["data.validation=0", "val/accuracy"]),
    "unknown activation": (["model.activation=rleu"], ["model.activation=rleu", "'relu'"]),
    "image too small for the net": (["model=sign_net"], ["model", "8x8"]),
    "classes that do not fit": (["task.class_weights=[1,2]"], ["class_weights", "2 values", "10 classes"]),
    "mean of other channels": (["data.mean=[0.5,0.5,0.5]"], ["data.mean", "one for each channel"]),
    "warm-up longer than the run": (["scheduler=cosine", "scheduler.warmup_epochs=3"], ["warmup_epochs=3"]),
    "momentum to cycle where there is none": (
        ["optimizer=rprop", "scheduler=one_cycle", "scheduler.cycle_momentum=true"],
        ["scheduler", "momentum"],
    ),
    "padding that reflects more than there is": (
        ["augment=[pad_crop]", "augment.pad_crop.padding_mode=reflect", "augment.pad_crop.padding=8"],
        ["augment.pad_crop.padding=8: ", "images of 8x8"],
    ),
    "augmentation set but not chosen": (
        ["+augment.rotation={degrees: 5}"],
        ["augment.rotation", "not chosen", "augment=["],
    ),
    "claim that says nothing": (
        ["-m", "hydra.sweeper.claims=[{id: X1, text: so, metric: val/loss, of: a}]"],
        ["hydra.sweeper.claims[X1]", "says no claim"],
    ),
    "a claim with an unknown key": (
        ["-m", "hydra.sweeper.claims=[{id: X1, text: so, metric: val/loss, bettr: a, than: b}]"],
        ["hydra.sweeper.claims[X1].bettr", "did you mean 'better'?"],
    ),
    "a claim on a variant that there is not": (
        ["-m", "hydra.sweeper.variants={plain: []}", "hydra.sweeper.claims=[{id: X1, text: a, metric: a, best: plan}]"],
        ["hydra.sweeper.claims[X1]", "there is no variant 'plan', did you mean 'plain'?", "hydra.sweeper.claims=[]"],
    ),
    "a claim on a variant where there are none": (
        ["-m", "hydra.sweeper.claims=[{id: X1, text: so, metric: val/loss, best: {variant: a}}]"],
        ["hydra.sweeper.claims[X1]", "there is no variant 'a'; the study has no variants"],
    ),
    "claims that are no list": (["-m", "hydra.sweeper.claims=3"], ["hydra.sweeper.claims"]),
    "foreign target": (["model._target_=os.system"], ["model._target_=os.system"]),
    "target that is not there": (["model._target_=receptive.models.mnist_net.MnistNett"], ["'MnistNet'"]),
    "seed": (["seed=-1"], ["seed=-1"]),
    "seed in words": (["seed=one"], ["seed=one"]),
    "test": (["test=maybe"], ["test=maybe", "true or false"]),
    "rerun": (["rerun=some"], ["rerun=some", "failed, all or none"]),
    "submit": (["submit=dettach"], ["submit=dettach", "wait or detach"]),
    "weights from nowhere": (["init=no/such/folder"], ["init=", "no/such/folder: no checkpoints/best.ckpt"]),
    "unset variable": (["seed=${oc.env:NO_SUCH_VARIABLE}"], ["NO_SUCH_VARIABLE"]),
    "value left open": (["optimizer.lr=???"], ["optimizer.lr"]),
    "broken grammar": (["model=[net_a"], ["model=[net_a"]),
    "several at once": (
        ["data.batch_size=0", "trainer.max_epochs=ten", "+model.channel=1"],
        ["data.batch_size=0", "trainer.max_epochs=ten", "model.channel"],
    ),
    "missing data": (
        ["data=mnist", "data.source.download=false", "paths.data_dir=nowhere"],
        ["nowhere", "train-images-idx3-ubyte"],
    ),
    "labels where the net gives masks": (["model=unet"], ["UNet gives (2, 10, 8, 8)", "need (2, 10), a class"]),
    "masks that are not there": (["data=jsrt", "paths.data_dir=nowhere"], ["nowhere/jsrt", "prepare_jsrt.py"]),
    "one's own masks that are not there": (
        ["data=image_mask_folder", "data.source.root=nowhere"],
        ["nowhere/train/images does not exist", "data.source.root"],
    ),
    "a sweep where one seed is bad": (["-m", "seed=1,-2", "hydra.sweep.dir=run"], ["seed=-2"]),
    "a sweep over a range": (["-m", "optimizer.lr=interval(0,1)", "hydra.sweep.dir=run"], ["interval", "grid"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_input(case: str, cli: Cli, tmp_path: Path) -> None:
    typed, words = CASES[case]
    code, out, err = cli("train", *ALL, *typed)
    assert code == 1
    for word in words:
        assert word in err, err
    assert err.count("receptive:") == 1
    assert "Traceback" not in out + err
    assert len(err.splitlines()) <= 12, err
    assert not (tmp_path / "run").exists()


# the same after `receptive train data=jsrt model=unet`, on small files
MASK_CASES: dict[str, tuple[list[str], list[str]]] = {
    "classifier on masks": (["model=net_a"], ["ConvNet gives (2, 2)", "(2, 2, 32, 32), a class for each pixel"]),
    "classification of masks": (["task=classification"], ["ClassificationTask learns a label", "the data have a mask"]),
    "names that do not fit the values": (
        ["data.source.class_names=[background,right,left]"],
        ["data", "class_names=['background', 'right', 'left']", "each of the 2 lists of label_values"],
    ),
    "a value of two classes": (["data.source.label_values=[[0,150],[150]]"], ["label_values", "to two classes"]),
    "a value that no mask can have": (["data.source.label_values=[[0],[256]]"], ["data.source.label_values", "255"]),
    "unknown loss": (["task.loss=dicee"], ["task.loss=dicee", "'cross_entropy_dice'"]),
    "weights for a loss without": (
        ["task.loss=dice", "task.class_weights=balanced"],
        ["task", "loss=dice: only the cross-entropy takes weights"],
    ),
    "weights of other classes": (["task.class_weights=[1,2,3]"], ["class_weights", "3 values", "2 classes"]),
    "unknown rule for empty masks": (["task.empty_mask=two"], ["task.empty_mask=two", "'ignore'"]),
    "no halving": (["model.depth=0"], ["model.depth=0", "greater than or equal to 1"]),
    "too many halvings": (["model.depth=9"], ["model.depth=9", "less than or equal to 8"]),
    "instance norm of one pixel": (
        ["model.norm=instance", "model.depth=5"],
        ["model", "more than 1 spatial element", "UNet with images of 1x32x32"],
    ),
    "upsampling of another net": (["model.upsampling=bicubic"], ["model.upsampling=bicubic", "'transposed'"]),
    "unknown net of the library": (["model=smp_unet", "model.architecture=unte"], ["architecture=unte", "mean unet"]),
    "unknown encoder": (["model=smp_unet", "model.encoder_name=resnet81"], ["encoder_name=resnet81", "resnet18"]),
    "unknown weights": (
        ["model=smp_unet", "model.encoder_weights=imagenett"],
        ["encoder_weights=imagenett", "did you mean imagenet"],
    ),
    "unknown argument of the library": (
        ["model=smp_unet", "+model.arguments.decoder_atention_type=scse"],
        ["'decoder_atention_type' is no argument of Unet", "decoder_attention_type"],
    ),
    "interpolation that the library lacks": (
        ["model=smp_unet", "model.upsampling=transposed"],
        ["model.upsampling=transposed", "'nearest', 'bilinear', 'bicubic' or 'area'"],
    ),
    "interpolation of a decoder without": (
        ["model=smp_deeplabv3plus", "model.upsampling=nearest"],
        ["model.upsampling=nearest", "no choice; use null"],
    ),
    "metric of another task": (["trainer.monitor=val/accuracy"], ["trainer.monitor=val/accuracy", "val/f1_mean"]),
    "no image to validate on": (["data.validation=0"], ["data.validation=0", "val/f1_mean"]),
}  # fmt: skip


@pytest.mark.parametrize("case", MASK_CASES)
def test_bad_input_with_masks(case: str, cli: Cli, tmp_path: Path, jsrt_root: Path) -> None:
    typed, words = MASK_CASES[case]
    base = ("data=jsrt", f"paths.data_dir={jsrt_root}", "model=unet", "data.source.image_size=32")
    code, out, err = cli("train", *ALL, *base, *typed)
    assert code == 1
    for word in words:
        assert word in err, err
    assert err.count("receptive:") == 1
    assert "Traceback" not in out + err
    assert len(err.splitlines()) <= 3, err
    assert not (tmp_path / "run").exists()


# the same after `receptive train data=digits_varres model=mnist_global_max`
SIZE_CASES: dict[str, tuple[list[str], list[str]]] = {
    "a net of one size": (
        ["model=mnist_net"],
        ["one size alone", "1x16x16, 1x24x24, 1x32x32", "model=mnist_global_max", "data.source.resize=16"],
    ),
    "a size too small for the net": (
        ["data.source.sizes=[16,4]"],
        ["Output size is too small", "images of 1x4x4", "leave the size out of data.source.sizes"],
    ),
    "all too small for the net": (["data.source.resize=4"], ["Output size is too small", "images of 1x4x4"]),
    "no size": (["data.source.sizes=[]"], ["data.source.sizes=[]: give one size or more"]),
    "a size twice": (["data.source.sizes=[16,24,16]"], ["data.source.sizes=[16, 24, 16]", "each once"]),
    "a size of nothing": (["data.source.sizes=[0,16]"], ["data.source.sizes=[0, 16]", "greater than or equal to 1"]),
    "half a size": (["data.source.sizes=[16.5]"], ["data.source.sizes=[16.5]", "integer"]),
    "a size without its list": (["data.source.sizes=16"], ["data.source.sizes=16", "list"]),
    "resized to nothing": (["data.source.resize=0"], ["data.source.resize=0", "greater than or equal to 1"]),
    "a negative seed": (["data.source.seed=-1"], ["data.source.seed=-1"]),
    "an unknown data set": (
        ["data.source.source._target_=receptive.data.digits.Digit"],
        ["data.source.source._target_", "'Digits'"],
    ),
    "a network for a data set": (
        ["data.source.source._target_=torch.nn.ReLU"],
        ["data.source.source: ReLU is no data set", "MNIST, Digits"],
    ),
    "a word for a data set": (["data.source.source=digits"], ["data.source.source=digits"]),
    "masks": (
        ["data.source.source._target_=receptive.data.phantoms.Phantoms"],
        ["data.source.source: Phantoms has masks", "MNIST, Digits"],
    ),
    "files": (
        ["data.source.source._target_=receptive.data.image_folder.ImageFolder", "+data.source.source.root=images"],
        ["data.source.source: ImageFolder reads its images from files", "MNIST, Digits"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SIZE_CASES)
def test_bad_input_with_several_sizes(case: str, cli: Cli, tmp_path: Path) -> None:
    typed, words = SIZE_CASES[case]
    code, out, err = cli("train", *ALL, "data=digits_varres", "model=mnist_global_max", *typed)
    assert code == 1
    for word in words:
        assert word in err, err
    assert err.count("receptive:") == 1 and len(err.splitlines()) == 1, err
    assert "Traceback" not in out + err
    assert not (tmp_path / "run").exists()


def test_bad_files_of_masks(cli: Cli, jsrt_root: Path) -> None:
    """What headers tell is told before anything runs: the file and the remedy."""
    masks = jsrt_root / "jsrt" / "masks"
    (masks / "JPCLN001.png").rename(masks / "JPCLN100.png")
    code, _, err = cli("train", *ALL, "data=jsrt", f"paths.data_dir={jsrt_root}", "model=unet")
    assert (code, err.count("receptive:")) == (1, 1)
    assert "1 image(s) without mask" in err and "images/JPCLN001.png: add or remove the file" in err
    (masks / "JPCLN100.png").rename(masks / "JPCLN001.png")
    (masks / "JPCLN002.png").write_bytes(b"no image")
    code, _, err = cli("train", *ALL, "data=jsrt", f"paths.data_dir={jsrt_root}", "model=unet")
    assert (code, err.count("receptive:")) == (1, 1)
    assert "masks/JPCLN002.png is not a readable image" in err


def test_a_refused_run_leaves_the_working_folder(cli: Cli, tmp_path: Path) -> None:
    assert cli("train", "seed=-1")[0] == 1
    assert tmp_path.is_dir()
    assert not list(tmp_path.iterdir())


def test_bad_files(cli: Cli, tmp_path: Path, mnist_root: Path, image_folder_root: Path) -> None:
    """Truncated, unreadable, empty: the file or folder is named, no run folder is left."""
    images = mnist_root / "MNIST" / "raw" / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:1000])
    folder = (
        *ALL,
        "data=image_folder",
        f"data.source.root={image_folder_root}",
        "data.source.image_size=32",
        "model=resnet18",
    )
    cases: list[tuple[tuple[str, ...], Path]] = [((*ALL, "data=mnist", f"paths.data_dir={mnist_root}"), images)]
    broken = next((image_folder_root / "train" / "bee").iterdir())
    broken.write_bytes(b"no image")
    cases.append((folder, broken))
    for arguments, named in cases:
        code, _, err = cli("train", *arguments)
        assert code == 1
        assert named.name in err
        assert "Traceback" not in err
    broken.unlink()
    for path in (image_folder_root / "train" / "ant").iterdir():
        path.unlink()
    code, _, err = cli("train", *folder)
    assert code == 1
    assert "ant" in err


def test_nan_ends_a_run_as_failed_and_keeps_the_last_good_checkpoint(cli: Cli, tmp_path: Path) -> None:
    code, _, err = cli("train", "hydra.run.dir=run", "optimizer=sgd", "optimizer.lr=1e30", "trainer.max_epochs=3")
    assert code == 1
    assert "the training loss is nan in epoch 1, batch" in err
    assert "smaller optimizer.lr" in err
    assert '"state": "failed"' in (tmp_path / "run" / "status.json").read_text()
    assert not (tmp_path / "run" / "result.json").exists()


def test_a_run_folder_that_cannot_be(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for arguments in (["hydra.run.dir=file/run"], ["-m", "seed=0,1", "hydra.sweep.dir=file/sweep"]):
        code, _, err = cli("train", "trainer=debug", *arguments)
        assert code == 1
        assert str(tmp_path / "file") in err or "file/run" in err
        assert "Traceback" not in err


@pytest.mark.slow
def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """Files may not grow beyond 20 kB: the checkpoint does not fit; config and state do."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    command = [sys.executable, "-m", "receptive", "train", *ALL]
    # coverage's own file would not fit either, and what is compiled on the way would be cut off
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, preexec_fn=limit, env=environment)
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert '"state": "failed"' in (tmp_path / "run" / "status.json").read_text()
    assert not list((tmp_path / "run" / "checkpoints").iterdir())


@pytest.mark.parametrize("verb", ["evaluate", "predict input=x", "export", "activations"])
def test_a_run_that_is_not_there(cli: Cli, verb: str) -> None:
    code, _, err = cli(*verb.split(), "run=no such, folder")
    assert code == 1
    assert "run=no such, folder: this folder does not exist" in err


@pytest.mark.parametrize(
    "typed", ["model=resnet19", "modle=net_a", "optimizer.lrr=0.1", "data.batchsize=3", "optimizer.lr.low=1"]
)
def test_a_sweep_says_it_in_the_words_of_a_single_run(typed: str, cli: Cli, tmp_path: Path) -> None:
    key = typed.partition("=")[0]
    _, _, alone = cli("train", *ALL, typed)
    # swept, so that the sweep's points compose it and not Hydra before them
    code, _, err = cli("train", "-m", "trainer=debug", "hydra.sweep.dir=run", "seed=1,2", f"{typed},{typed[-1]}")
    assert code == 1
    said = [line.partition("   [")[0] for line in err.splitlines()]
    assert said[0] == alone.strip()
    assert "did you mean" in said[0] or key == "optimizer.lr.low"
    assert f"{typed} and 1 more]" in err or f"{typed} and 3 more]" in err
    assert not (tmp_path / "run").exists()


def test_a_sweep_tells_all_faults_of_composing_and_of_checking_at_once(cli: Cli) -> None:
    """Each once, with the first point that has it; a key is looked for in what the point's groups choose."""
    code, _, err = cli(
        "train", "-m", "hydra.sweep.dir=run", "trainer=debug", "optimizer=sgd",
        "model=resnet19,mnist_net", "optimizer.momentun=0.9,0.8", "hydra.sweeper.variants={a: [], b: ['model=3']}",
    )  # fmt: skip
    assert code == 1
    said = dict(line.removeprefix("receptive: ").split("   [") for line in err.splitlines())
    assert [*said] == [
        next(line for line in said if line.startswith("there is no 'model/resnet19', did you mean 'resnet18'")),
        "unknown key 'optimizer.momentun', did you mean 'optimizer.momentum'?",
        "ValueError: Config group override must be a string or a list. Got int",
    ]
    assert [*said.values()] == [
        "variant=a model=resnet19 optimizer.momentun=0.9 and 1 more]",
        "variant=a model=mnist_net optimizer.momentun=0.9 and 1 more]",
        "variant=b model=3 optimizer.momentun=0.9 and 3 more]",
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("logger.wandb.project=thesis",), "unknown key 'logger.wandb.project': add logger=wandb"),
        (
            ("logger=wandb", "logger.wandb.projekt=thesis"),
            "unknown key 'logger.wandb.projekt', did you mean 'logger.wandb.project'?",
        ),
        (("logger=wandb", "logger.wandb.project=3"), "logger.wandb.project=3: must be a valid string"),
        (
            ("+logger.mlflow._target_=pytorch_lightning.loggers.CSVLogger", "+logger.mlflow.save_dir=x"),
            "logger.mlflow: there is no such logger",
        ),
    ],
    ids=["not chosen", "misspelt", "of another type", "another logger"],
)
def test_faults_of_loggers(cli: Cli, arguments: tuple[str, ...], told: str) -> None:
    code, _, err = cli("train", *arguments)
    assert (code, err) == (1, f"receptive: {told}\n")
