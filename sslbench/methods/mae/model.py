"""MAE: a masked picture is filled in from the few patches that the encoder sees.

He, Chen, Xie, Li, Dollár, Girshick 2022, section 3. Decoder, masks and patches are lightly's, and so is the encoder's
start: linear layers as in the authors' code and fixed sine-cosine positions. The loss is the mean squared error on
masked patches alone. Masks are drawn on the CPU.
"""

from typing import Any

from lightly.models.modules.masked_vision_transformer_decoder_timm import MaskedVisionTransformerDecoderTIMM
from lightly.models.modules.masked_vision_transformer_timm import MaskedVisionTransformerTIMM
from lightly.models.utils import get_at_index, normalize_mean_var, patchify, random_grid_token_mask, set_at_index
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from sslbench.errors import UserError
from sslbench.methods.base import Batch, Method
from sslbench.methods.mae.settings import FACTS, Settings
from sslbench.nn.backbone import Backbone
from sslbench.nn.distributed import averaged, mine, whole
from sslbench.nn.precision import in_float32


@in_float32
def mae_loss(predicted: Tensor, patches: Tensor, normalize: bool) -> Tensor:
    """Mean squared error over masked patches, both [n, m, p * p * 3]; the targets normalised patch by patch."""
    return (predicted - (normalize_mean_var(patches) if normalize else patches)).square().mean()


class Model(Method):
    settings = Settings
    facts = FACTS

    def __init__(self, backbone: Backbone, options: dict[str, Any], input_size: int) -> None:
        vit = backbone.model
        if not isinstance(vit, VisionTransformer) or vit.pos_embed is None:
            raise UserError(
                f"training: MAE masks the tokens of a vision transformer, and {backbone.name} is none (of timm's "
                "VisionTransformer with position embeddings); set training: {backbone: vit_tiny_patch16_224}"
            )
        positions = vit.patch_embed.num_patches + vit.num_prefix_tokens
        if vit.pos_embed.shape[1] != positions or vit.attn_pool is not None:
            raise UserError(
                f"training: MAE needs positions for all tokens and a pool without weights, and {backbone.name} has "
                "others; set training: {backbone: vit_tiny_patch16_224}"
            )
        super().__init__(backbone, options, input_size)
        o, (height, width) = self.options, vit.patch_embed.patch_size
        self.patch, self.count = height, (input_size // height) ** 2
        if height != width or input_size % height:
            raise UserError(
                f"training: MAE's input_size {input_size} is no multiple of the patch of {height}x{width} px"
            )
        if not 0 < int(self.count * (1 - o.mask_ratio)) < self.count:
            raise UserError(
                f"training: of {self.count} patches a mask_ratio of {o.mask_ratio} leaves none; raise input_size, or "
                "lower mask_ratio or the patch (backbone_options: {patch_size: 4})"
            )
        MaskedVisionTransformerTIMM(vit)  # for its start of the encoder's weights; it is not kept
        self.prefix = vit.num_prefix_tokens
        self.embed = nn.Linear(vit.embed_dim, o.decoder_dim)
        self.decoder = MaskedVisionTransformerDecoderTIMM(
            num_patches=self.count,
            embed_dim=o.decoder_dim,
            depth=o.decoder_depth,
            num_heads=o.decoder_dim // o.decoder_head_dim,
            num_prefix_tokens=self.prefix,
        )
        self.predict = nn.Linear(o.decoder_dim, self.patch**2 * 3)

    def encode(self, images: Tensor, keep: Tensor) -> Tensor:
        """Tokens [n, k, D] of those of ``keep`` [n, k] alone, the prefix (class token) among them."""
        vit = self.backbone.model
        tokens = vit._pos_embed(vit.patch_embed(images))  # timm's own: prefix, positions, images of any size
        return vit.norm(vit.blocks(vit.norm_pre(get_at_index(tokens, keep))))

    def decode(self, tokens: Tensor, keep: Tensor, mask: Tensor) -> Tensor:
        """Pixels [n, m, p * p * 3] of the masked patches."""
        embedded = self.embed(tokens)
        everywhere = self.decoder.mask_token.to(embedded.dtype).expand(len(tokens), self.prefix + self.count, -1)
        decoded = self.decoder(set_at_index(everywhere, keep, embedded))
        return self.predict(get_at_index(decoded, mask))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        images = batch.views[0].images
        shape, ratio = (whole(len(images)), self.prefix + self.count), self.options.mask_ratio
        drawn = random_grid_token_mask(shape, ratio, grid_size=1, num_prefix_tokens=self.prefix)
        keep, mask = (mine(index).to(images.device, non_blocking=True) for index in drawn)
        tokens = self.encode(images, keep)
        self.last_features = self.backbone.model.forward_head(tokens, pre_logits=True).detach()
        patches = get_at_index(patchify(images, self.patch), mask - self.prefix)
        loss = mae_loss(self.decode(tokens, keep, mask), patches, self.options.normalize_targets)
        return {"loss": averaged(loss)}

    def trivial_loss(self, batch_size: int | None = None) -> dict[str, Any] | None:
        # The error of each patch's mean: its normalised pixels have variance 1 (with lightly's n - 1 a little less).
        count = self.patch**2 * 3
        return {"part": "loss", "value": (count - 1) / count} if self.options.normalize_targets else None
