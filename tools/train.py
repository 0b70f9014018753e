"""Train a network from a YAML: PaddleSeg's tools/train.py for those who have PaddleSeg from PyPI.

The folder --save_dir then holds the models and what was run (config.yml, run.yml, log.txt, classes.txt).
"""

import argparse
import inspect
import os
from contextlib import nullcontext

from paddleseg_ext.command import DEVICES, UserError, run

EXPORT_FLAGS = {"output_op": "argmax", "input_shape": None, "for_fd": False}  # with their defaults


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", help="the YAML file")
    parser.add_argument("--device", default="gpu", choices=DEVICES, help="gpu falls back to the CPU (default: gpu)")
    parser.add_argument("--save_dir", default="./output", help="folder for checkpoints and logs (default: %(default)s)")
    parser.add_argument("--num_workers", type=int, default=0, help="processes that load data (default: %(default)s)")
    parser.add_argument("--do_eval", action="store_true", help="evaluate at each checkpoint and keep the best model")
    parser.add_argument("--overwrite", action="store_true", help="delete the run that --save_dir holds")
    parser.add_argument("--use_vdl", action="store_true", help="log curves and images for VisualDL into --save_dir")
    parser.add_argument("--use_ema", action="store_true", help="also keep an exponential moving average of the weights")
    parser.add_argument("--resume_model", help="checkpoint to go on from, e.g. output/iter_1000; output: its newest")
    parser.add_argument("--iters", type=int, help="iterations, instead of the YAML's")
    parser.add_argument("--batch_size", type=int, help="batch size per device, instead of the YAML's")
    parser.add_argument("--learning_rate", type=float, help="learning rate, instead of the YAML's")
    parser.add_argument(
        "--save_interval", type=int, default=1000, help="iterations between checkpoints (default: 1000)"
    )
    parser.add_argument("--log_iters", type=int, default=10, help="iterations between lines of the log (default: 10)")
    parser.add_argument("--keep_checkpoint_max", type=int, default=5, help="checkpoints to keep (default: 5)")
    parser.add_argument(
        "--early_stop_intervals", type=int, help="end after so many evaluations in a row without a better mIoU"
    )
    parser.add_argument("--seed", type=int, help="seed of paddle, numpy and random")
    parser.add_argument("--deterministic", action="store_true", help="with --seed: only cuDNN's deterministic kernels")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "fp16"], help="fp16: mixed precision")
    parser.add_argument("--amp_level", default="O1", choices=["O1", "O2"], help="level of mixed precision")
    parser.add_argument("--profiler_options", help="options of PaddleSeg's train profiler")
    parser.add_argument("--data_format", default="NCHW", choices=["NCHW", "NHWC"])
    parser.add_argument("--repeats", type=int, default=1, help="times that an epoch passes over the data")
    parser.add_argument(
        "--use_multilabel", action="store_true", help="several classes per pixel (PaddleSeg 2.9 or newer)"
    )
    parser.add_argument("--to_static_training", action="store_true", help="train the static graph of the network")
    exporting = parser.add_argument_group("export while training (PaddleSeg from git, uniform_output_enabled)")
    exporting.add_argument("--output_op", choices=["argmax", "softmax", "none"], default=EXPORT_FLAGS["output_op"])
    exporting.add_argument("--input_shape", nargs="+", type=int, help="fixed, e.g. 1 3 1024 1024")
    exporting.add_argument("--for_fd", action="store_true", help="in FastDeploy's format")
    parser.add_argument(
        "--opts", nargs="+", metavar="KEY=VALUE", help="values to change in the YAML, e.g. model.num_classes=11"
    )
    return parser.parse_args()


def main(args):
    import paddle
    from paddleseg.core import train
    from paddleseg.utils import logger, utils

    from paddleseg_ext import host
    from paddleseg_ext.builder import Builder, load_config, set_data_format
    from paddleseg_ext.checkpoints import newest_checkpoint
    from paddleseg_ext.host.trainer import TrainingRun, best_score
    from paddleseg_ext.training import run_folder

    check_flags(args)
    if args.early_stop_intervals is not None and "training_run" not in [repair.name for repair in host.apply()]:
        raise UserError("--early_stop_intervals needs the repair training_run: name it in PADDLESEG_EXT_REPAIRS")
    config = load_config(
        args.config, learning_rate=args.learning_rate, iters=args.iters, batch_size=args.batch_size, opts=args.opts
    )
    if config.iters < 1:
        raise UserError(f"iters: {config.iters}: give at least 1")
    extras = flags_of_develop(args, config, inspect.signature(train).parameters)
    run_folder.refuse_folder_of_data(args.save_dir, config)
    run_folder.refuse_another_run(args.save_dir, args.resume_model, args.overwrite)
    utils.show_env_info()
    utils.show_cfg_info(config)
    utils.set_seed(args.seed)
    utils.set_device(args.device)
    if paddle.get_device().partition(":")[0] != args.device:
        logger.warning(f"--device {args.device}: there is none that this Paddle can use: training on the CPU")
    if args.deterministic and paddle.is_compiled_with_cuda():  # on a CPU every kernel is
        paddle.set_flags({"FLAGS_cudnn_deterministic": True})
    utils.set_cv2_num_threads(args.num_workers)
    set_data_format(config, args.data_format)

    builder = Builder(config)
    datasets = {"train_dataset": builder.train_dataset}
    if args.do_eval:
        datasets["val_dataset"] = builder.val_dataset
    model, optimizer, losses = builder.model, builder.optimizer, builder.loss
    is_first = paddle.distributed.ParallelEnv().rank == 0
    if is_first:
        run_folder.start(args.save_dir, config, datasets, args.resume_model, args.overwrite)
    datasets["train_dataset"].file_list *= args.repeats
    TrainingRun.early_stop_intervals = args.early_stop_intervals
    with run_folder.log(args.save_dir) if is_first else nullcontext():
        train(
            utils.convert_sync_batchnorm(model, args.device),
            datasets["train_dataset"],
            val_dataset=datasets.get("val_dataset"),
            optimizer=optimizer,
            save_dir=args.save_dir,
            iters=config.iters,
            batch_size=config.batch_size,
            resume_model=args.resume_model,
            save_interval=args.save_interval,
            log_iters=args.log_iters,
            num_workers=args.num_workers,
            use_vdl=args.use_vdl,
            use_ema=args.use_ema,
            losses=losses,
            keep_checkpoint_max=args.keep_checkpoint_max,
            test_config=config.test_config,
            precision=args.precision,
            amp_level=args.amp_level,
            profiler_options=args.profiler_options,
            to_static_training=args.to_static_training or config.to_static_training,
            **extras,
        )
        if is_first:
            print(run_folder.summary(args.save_dir, best_score(newest_checkpoint(args.save_dir))))


def flags_of_develop(args, config, parameters):
    """The arguments that the trainer of PaddleSeg from git has and that of 2.8.0 has not; `parameters` are this one's.

    Raises:
        UserError: a flag that this PaddleSeg, or this YAML, makes no use of.
    """
    exports = config.dic.get("uniform_output_enabled", False)
    for flag, default in EXPORT_FLAGS.items():
        if getattr(args, flag) != default and not exports:
            raise UserError(f"--{flag}: works only with uniform_output_enabled in the YAML: use tools/export.py later")
    if "shuffle" not in parameters:
        if args.use_multilabel or exports:
            key = "--use_multilabel" if args.use_multilabel else "uniform_output_enabled"
            raise UserError(f"{key}: this PaddleSeg does not have it: install PaddleSeg from git (2.9 or newer)")
        return {}
    if args.use_multilabel:
        config.dic.setdefault("test_config", {})["use_multilabel"] = True
    return {
        "shuffle": config.dic["train_dataset"].pop("shuffle", True),
        "print_mem_info": config.dic.pop("print_mem_info", True),
        "uniform_output_enabled": exports,
        "cli_args": args if exports else None,
    }


def check_flags(args):
    """Refuse flags that would fail late, and a --save_dir that is a file, which the trainer would delete."""
    for flag in ("iters", "batch_size", "save_interval", "log_iters", "early_stop_intervals", "repeats"):
        value = getattr(args, flag)
        if value is not None and value < 1:
            raise UserError(f"--{flag} {value}: give at least 1")
    if args.early_stop_intervals is not None and not args.do_eval:
        raise UserError("--early_stop_intervals needs --do_eval")
    if args.deterministic and args.seed is None:
        raise UserError("--deterministic needs --seed")
    if os.path.isfile(args.save_dir):
        raise UserError(f"--save_dir {args.save_dir}: that is a file; give a folder")
    if args.resume_model is None:
        return
    from paddleseg_ext.checkpoints import iteration_of, missing_files, newest_checkpoint

    if not os.path.isdir(args.resume_model):
        raise UserError(f"--resume_model {args.resume_model}: there is no such folder; give one like output/iter_1000")
    if iteration_of(args.resume_model) is not None:
        missing = missing_files(args.resume_model)
        if missing:
            raise UserError(
                f"--resume_model {args.resume_model}: it holds no {missing[0]}: the run was killed while it wrote "
                "it; give the checkpoint before"
            )
        return
    newest = newest_checkpoint(args.resume_model, args.use_ema)
    if newest is None:
        raise UserError(f"--resume_model {args.resume_model}: it holds no complete checkpoint like iter_1000")
    args.resume_model = newest


if __name__ == "__main__":
    run(main, parse_args)
