"""PaddleSeg's own networks: what some of them need to run, and what makes others better (under `all`).

docs/stock_networks.md says which of them run where. What runs inside of a network is replaced rather than rewritten,
since `paddle.jit` reads the source file again.
"""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddleseg import models
from paddleseg.models import losses

from paddleseg_ext.host.patching import replace, rewrite, wrap
from paddleseg_ext.host.registry import PADDLE_3, PADDLESEG_BEFORE_2_9, fixed_in_2_9, repair

_MIXES_TYPES = PADDLESEG_BEFORE_2_9 and PADDLE_3


def types_that_mix(reason: str, *files: str, useful: bool = _MIXES_TYPES):
    """A repair of what calculates with floats and integers or bools at once, which Paddle 3 refuses."""
    error = "TypeError: Type promotion only support calculations between floating-point numbers"
    return fixed_in_2_9(f"{reason}: {error}", *files, needed=_MIXES_TYPES, useful=useful)


@types_that_mix(
    "SFNet and DecoupledSegNet divide their flow by an integer size", "models/sfnet.py", "models/decoupled_segnet.py"
)
def flow_of_floats():
    def flow_warp(self, input, flow, size):
        """`input` (N, C, h, w) sampled at the pixels of a map of `size` (H, W), moved by `flow` (N, 2, H, W)."""
        rows, columns = (paddle.linspace(-1.0, 1.0, size[axis]) for axis in (0, 1))
        y, x = paddle.meshgrid(rows, columns)
        width_and_height = size[::-1].astype(flow.dtype)
        grid = paddle.stack([x, y], axis=-1) + flow.transpose([0, 2, 3, 1]) / width_and_height
        return F.grid_sample(input, grid)

    replace(models.sfnet.AlignedModule, "flow_warp", flow_warp)
    replace(models.decoupled_segnet.SqueezeBodyEdge, "flow_warp", flow_warp)


@types_that_mix(
    "RelaxBoundaryLoss (DecoupledSegNet) multiplies integer labels by floats, which Paddle 2.6 silently rounds "
    "to integers and Paddle 3 refuses",
    "models/losses/decoupledsegnet_relax_boundary_loss.py",
    useful=PADDLESEG_BEFORE_2_9,
)
def relax_boundary_of_float_labels():
    def with_float_labels(original, self, logit, label, **kwargs):
        return original(self, logit, label.astype(logit.dtype), **kwargs)

    wrap(losses.RelaxBoundaryLoss, "custom_nll", with_float_labels)


@types_that_mix(
    "OhemEdgeAttentionLoss (DecoupledSegNet), with pixels to choose from, adds integers to floats",
    "models/losses/ohem_edge_attention_loss.py",
)
def ohem_edge_attention_of_floats():
    rewrite(
        losses.OhemEdgeAttentionLoss.forward,
        ("prob = prob + (1 - valid_mask)", "prob = prob + (1 - valid_mask).astype(prob.dtype)"),
    )


@types_that_mix("DualTaskLoss (GSCNN) multiplies floats by bools", "models/losses/gscnn_dual_task_loss.py")
def dual_task_of_floats():
    rewrite(
        losses.DualTaskLoss.forward,
        ("logit = logit * mask", "logit = logit * mask.astype(logit.dtype)"),
        ("labels = labels * mask", "labels = labels * mask.astype(labels.dtype)"),
        ("loss = loss * mask\n", "loss = loss * mask.astype(loss.dtype)\n"),
    )


@repair(
    "DualTaskLoss (GSCNN) divides by the `max` of whole maps, whose gradient on a CPU takes time that grows "
    "with the square of the pixels: over two minutes for two crops of 96 x 96",
    "not fixed in Paddle 3.3, nor in PaddleSeg's develop of October 2024 (gscnn_dual_task_loss.py)",
    needed=_MIXES_TYPES,
    useful=PADDLE_3,
)
def dual_task_in_time():
    rewrite(losses.DualTaskLoss.compute_grad_mag, ("mag / mag.max()", "mag / mag.flatten().topk(1)[0]"))


@types_that_mix("RMILoss (MscaleOCRNet) multiplies floats by bools", "models/losses/rmi_loss.py")
def rmi_of_floats():
    rewrite(
        losses.RMILoss.forward_sigmoid,
        ("label_mask_3D, axis=3)", "label_mask_3D.astype('float32'), axis=3)"),
        ("label_mask_3D, axis=1)", "label_mask_3D.astype('float32'), axis=1)"),
    )


@types_that_mix(
    "PointCrossEntropyLoss (PointRend) multiplies floats by integers", "models/losses/point_cross_entropy_loss.py"
)
def point_cross_entropy_of_floats():
    rewrite(
        losses.PointCrossEntropyLoss.forward,
        ("            coef = paddle.ones_like(label)\n\n", "            coef = paddle.ones_like(mask)\n\n"),
    )


@repair(
    "PointRend concatenates the number of its points with that of the pixels, which are 0-D since Paddle 2.5 "
    "and of two integer types since 3.0: ValueError: The data_type of input tensor in list isn't consistent",
    "not fixed in develop of October 2024 on Paddle 3 (models/pointrend.py)",
    needed=PADDLESEG_BEFORE_2_9,
    useful=PADDLE_3 or PADDLESEG_BEFORE_2_9,
)
def most_uncertain_points():
    def get_points_test(self, seg_logits, uncertainty_func):
        uncertainty = uncertainty_func(seg_logits)
        _, _, height, width = paddle.shape(uncertainty).astype("int64")
        num_points = paddle.minimum(height * width, self.subdivision_num_points.astype("int64"))
        indices = paddle.topk(uncertainty.flatten(1), num_points, axis=1)[1]
        x = ((indices % width).astype("float32") + 0.5) / width.astype("float32")
        y = ((indices // width).astype("float32") + 0.5) / height.astype("float32")
        return indices, paddle.stack([x, y], axis=2)

    replace(models.pointrend.PointHead, "get_points_test", get_points_test)


@repair(
    "ISANet concatenates numbers of rows and columns, which are 0-D since Paddle 2.5: ValueError: The axis is "
    "expected to be in range of [0, 0), but got 0; on Paddle 3 in its export alone",
    "fails with a TypeError in develop of October 2024 on Paddle 3 (models/isanet.py)",
    needed=PADDLESEG_BEFORE_2_9,
    useful=PADDLESEG_BEFORE_2_9,
)
def interlaced_padding():
    def forward(self, feat_list):
        auxiliary, x = feat_list
        x = self.in_conv(x)
        n, _, height, width = paddle.shape(x)
        rows, columns = self.down_factor
        more_rows, more_columns = -height % rows, -width % columns  # up to whole patches, half of them on each side
        top, left = more_rows // 2, more_columns // 2
        margins = [left, more_columns - left, top, more_rows - top]
        feat = F.pad(x, paddle.concat([margin.reshape([1]) for margin in margins]).astype("int32"))
        c, n_h, n_w = self.inter_channels, paddle.shape(feat)[2] // rows, paddle.shape(feat)[3] // columns
        # attention between the pixels at the same place of every patch, then within each patch
        feat = feat.reshape([n, c, n_h, rows, n_w, columns]).transpose([0, 3, 5, 1, 2, 4])
        feat = self.global_relation(feat.reshape([-1, c, n_h, n_w]))
        feat = feat.reshape([n, rows, columns, c, n_h, n_w]).transpose([0, 4, 5, 3, 1, 2])
        feat = self.local_relation(feat.reshape([-1, c, rows, columns]))
        feat = feat.reshape([n, n_h, n_w, c, rows, columns]).transpose([0, 3, 1, 4, 2, 5])
        feat = feat.reshape([n, c, n_h * rows, n_w * columns])[:, :, top : top + height, left : left + width]
        output = self.cls(self.out_conv(paddle.concat([feat, x], axis=1)))
        return [output, self.aux(auxiliary)] if self.enable_auxiliary_loss else [output]

    replace(models.isanet.ISAHead, "forward", forward)


@repair(
    "DetailAggregateLoss (STDC) fuses its pyramid of boundaries with random numbers that nothing trains; in the "
    "paper (Fan et al., CVPR 2021) they are 0.6, 0.3 and 0.1",
    "not fixed in develop of October 2024 (models/losses/detail_aggregate_loss.py)",
)
def detail_pyramid_of_the_paper():
    def with_the_constants(original, self, *args, **kwargs):
        original(self, *args, **kwargs)
        del self.fuse_kernel  # a parameter
        self.register_buffer("fuse_kernel", paddle.to_tensor([0.6, 0.3, 0.1]).reshape([1, 3, 1, 1]))

    wrap(losses.DetailAggregateLoss, "__init__", with_the_constants)


@repair(
    "ENCNet and FastFCN copy their features once per codeword, twice: at 1024 x 512 and an output stride of 8 a "
    "step of the encoding takes 2.5 GB and a hundred times as long",
    "not fixed in develop of October 2024 (models/encnet.py, models/fastfcn.py)",
)
def encoding_without_copies():
    from paddleseg_ext.layers import Encoding

    for module in (models.encnet, models.fastfcn):
        replace(module.Encoding, "forward", Encoding.forward)
