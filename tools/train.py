"""Train a network from a YAML: PaddleSeg's tools/train.py for those who have PaddleSeg from PyPI."""

import argparse
import os

from paddleseg_ext.command import UserError, run


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", help="the YAML file")
    parser.add_argument("--device", default="gpu", choices=["cpu", "gpu", "xpu", "npu", "mlu"])
    parser.add_argument("--save_dir", default="./output", help="folder for checkpoints and logs (default: %(default)s)")
    parser.add_argument("--num_workers", type=int, default=0, help="processes that load data (default: %(default)s)")
    parser.add_argument("--do_eval", action="store_true", help="evaluate at each checkpoint and keep the best model")
    parser.add_argument("--use_vdl", action="store_true", help="log scalars for VisualDL into --save_dir")
    parser.add_argument("--use_ema", action="store_true", help="also keep an exponential moving average of the weights")
    parser.add_argument("--resume_model", help="checkpoint to go on from, e.g. output/iter_1000; output: its newest")
    parser.add_argument("--iters", type=int, help="iterations, instead of the YAML's")
    parser.add_argument("--batch_size", type=int, help="batch size per device, instead of the YAML's")
    parser.add_argument("--learning_rate", type=float, help="learning rate, instead of the YAML's")
    parser.add_argument("--save_interval", type=int, default=1000, help="iterations between checkpoints")
    parser.add_argument("--log_iters", type=int, default=10, help="iterations between lines of the log")
    parser.add_argument("--keep_checkpoint_max", type=int, default=5, help="checkpoints to keep")
    parser.add_argument("--seed", type=int, help="seed of paddle, numpy and random")
    parser.add_argument("--deterministic", action="store_true", help="with --seed: only cuDNN's deterministic kernels")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "fp16"], help="fp16: mixed precision")
    parser.add_argument("--amp_level", default="O1", choices=["O1", "O2"], help="level of mixed precision")
    parser.add_argument("--profiler_options", help="options of PaddleSeg's train profiler")
    parser.add_argument("--data_format", default="NCHW", choices=["NCHW", "NHWC"])
    parser.add_argument("--repeats", type=int, default=1, help="times that an epoch passes over the data")
    parser.add_argument("--opts", nargs="+", help="key=value changes of the YAML, e.g. model.num_classes=11")
    return parser.parse_args()


def main(args):
    import paddle
    from paddleseg.core import train
    from paddleseg.utils import utils

    from paddleseg_ext.builder import Builder, load_config, set_data_format

    config = load_config(
        args.config,
        learning_rate=args.learning_rate,
        iters=args.iters,
        batch_size=args.batch_size,
        opts=args.opts,
    )
    check_flags(args)
    utils.show_env_info()
    utils.show_cfg_info(config)
    utils.set_seed(args.seed)
    utils.set_device(args.device)
    if args.deterministic and paddle.is_compiled_with_cuda():  # on a CPU every kernel is
        paddle.set_flags({"FLAGS_cudnn_deterministic": True})
    utils.set_cv2_num_threads(args.num_workers)
    set_data_format(config, args.data_format)

    builder = Builder(config)
    train_dataset = builder.train_dataset
    train_dataset.file_list *= args.repeats
    train(
        utils.convert_sync_batchnorm(builder.model, args.device),
        train_dataset,
        val_dataset=builder.val_dataset if args.do_eval else None,
        optimizer=builder.optimizer,
        save_dir=args.save_dir,
        iters=config.iters,
        batch_size=config.batch_size,
        resume_model=args.resume_model,
        save_interval=args.save_interval,
        log_iters=args.log_iters,
        num_workers=args.num_workers,
        use_vdl=args.use_vdl,
        use_ema=args.use_ema,
        losses=builder.loss,
        keep_checkpoint_max=args.keep_checkpoint_max,
        test_config=config.test_config,
        precision=args.precision,
        amp_level=args.amp_level,
        profiler_options=args.profiler_options,
        to_static_training=config.to_static_training,
    )


def check_flags(args):
    """Refuse what the trainer would stumble over late, or delete: it removes a file that stands at --save_dir."""
    if args.deterministic and args.seed is None:
        raise UserError("--deterministic needs --seed")
    if os.path.isfile(args.save_dir):
        raise UserError(f"--save_dir {args.save_dir}: that is a file; give a folder")
    if args.resume_model is None:
        return
    from paddleseg_ext.host.trainer import missing_files, newest_checkpoint

    if not os.path.isdir(args.resume_model):
        raise UserError(f"--resume_model {args.resume_model}: there is no such folder; give one like output/iter_1000")
    if os.path.normpath(args.resume_model).split("_")[-1].isdigit():
        missing = missing_files(args.resume_model)
        if missing:
            raise UserError(
                f"--resume_model {args.resume_model}: it holds no {missing[0]}, as a run leaves it that is killed "
                "while it writes; give the checkpoint before"
            )
        return
    newest = newest_checkpoint(args.resume_model, args.use_ema)
    if newest is None:
        raise UserError(f"--resume_model {args.resume_model}: it holds no complete checkpoint like iter_1000")
    args.resume_model = newest


if __name__ == "__main__":
    run(main, parse_args)
