"""Look into every image and label of a data set and say what is wrong and how to fix it.

Prints a summary and writes report.json and report.html (with images) to --save_dir. The exit status is 1 when
something is wrong.
"""

import argparse
import os

from paddleseg_ext.command import UserError, run

TYPES = {"cityscapes": "Cityscapes", "camvid": "CamVid", "gtav": "GTAV", "gtav35": "GTAV35", "custom": "Dataset"}


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset_root", nargs="?", help="the folder of a data set, if there is no --config")
    parser.add_argument("--config", help="the YAML file with train_dataset and val_dataset")
    parser.add_argument(
        "--type", default="custom", choices=TYPES, help="which data set the folder holds (default: custom)"
    )
    parser.add_argument(
        "--num_classes", type=int, help="number of classes of a custom folder (default: as classes.txt says)"
    )
    parser.add_argument(
        "--separator", default=" ", help="what separates image and label in the lists (default: a space)"
    )
    parser.add_argument("--save_dir", default="./output/check", help="where the report goes (default: %(default)s)")
    parser.add_argument(
        "--num_workers", type=int, default=os.cpu_count(), help="processes, 0: this one alone (default: all processors)"
    )
    parser.add_argument("--ignore", nargs="+", default=[], metavar="KIND", help="kinds of problems not to report")
    parser.add_argument("--opts", nargs="+", metavar="KEY=VALUE", help="values to change in the YAML")
    return parser.parse_args()


def main(args):
    from paddleseg_ext.data_tools.check_report import make_report, summary, write_report
    from paddleseg_ext.data_tools.checking import all_problems, check
    from paddleseg_ext.data_tools.problems import check_kinds
    from paddleseg_ext.data_tools.splits import find_splits

    check_kinds(args.ignore)
    if args.num_workers < 0:
        raise UserError(f"--num_workers {args.num_workers}: give 0 or more")
    if not args.separator:
        raise UserError("--separator '': give what stands between image and label in the lists")
    splits = find_splits(_sections(args))
    try:
        os.makedirs(args.save_dir, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--save_dir {args.save_dir}: no folder can be made there ({error.strerror}): give another"
        ) from error
    check(splits, args.num_workers)
    problems = all_problems(splits, args.ignore)

    report = make_report(splits, problems)
    print(summary(report))
    paths = write_report(args.save_dir, report, splits, problems)
    print(f"\n{len(problems)} problems; see {' and '.join(paths)}")
    return 1 if problems else 0


def _sections(args):
    """The data sets to check, as a YAML has them."""
    if (args.config is None) == (args.dataset_root is None):
        raise UserError("give either --config FILE or the folder of a data set")
    if args.config is not None:
        from paddleseg.cvlibs.config_checker import ConfigChecker

        from paddleseg_ext.builder import load_config

        config = load_config(args.config, opts=args.opts, checker=ConfigChecker([]))
        sections = [section for section in (config.train_dataset_cfg, config.val_dataset_cfg) if section]
        if not sections:
            raise UserError(f"--config {args.config}: it has neither train_dataset nor val_dataset")
        for section in sections:
            if section.get("type") == "Dataset":  # other classes know it
                section.setdefault("num_classes", config.model_cfg.get("num_classes"))
        return sections

    from paddleseg_ext.datasets.lists import SPLITS, list_in

    section = {"type": TYPES[args.type], "dataset_root": args.dataset_root, "separator": args.separator}
    if args.type == "custom":
        lists = {f"{split}_path": list_in(args.dataset_root, split) for split in SPLITS}
        if not any(lists.values()):
            raise UserError(f"{args.dataset_root}: no train.txt, val.txt, test.txt: run tools/new_config.py")
        section.update(lists, num_classes=args.num_classes)
    return [section]


if __name__ == "__main__":
    run(main, parse_args)
