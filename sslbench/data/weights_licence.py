"""What the licence of published weights allows, by timm's name of the licence, or by a timm name. No torch, no advice.

A licence covers the weights. What the terms of the images say of weights trained on them is another question, and open:
ImageNet's are for non-commercial research.
"""

import re
from enum import StrEnum
from typing import NamedTuple

from sslbench.data import pretraining_data


class Use(StrEnum):
    FORBIDS_COMMERCIAL = "forbids commercial use"
    CONDITIONS = "has conditions"
    PERMISSIVE = "permissive"
    UNKNOWN = "unknown"


class Licence(NamedTuple):
    title: str
    use: Use
    url: str = ""

    @property
    def note(self) -> str:
        """One line for the page and the model card."""
        if self.use is Use.UNKNOWN:
            return f"{self.title}: read the model card before use."
        ends = {
            Use.FORBIDS_COMMERCIAL: "forbids commercial use",
            Use.CONDITIONS: "sets conditions of its own; read it before use",
            Use.PERMISSIVE: "is permissive: keep its notice",
        }
        return f"{self.title} {ends[self.use]}."


_FORBIDS, _CONDITIONS, _PERMISSIVE = Use.FORBIDS_COMMERCIAL, Use.CONDITIONS, Use.PERMISSIVE
UNKNOWN = Licence("Licence unknown", Use.UNKNOWN)
# timm's `license` of pretrained weights -> what it is
LICENCES = {
    "permissive": Licence("Apache-2.0, MIT or BSD", _PERMISSIVE),  # by its tag alone: which of them is not known
    "apache-2.0": Licence("Apache-2.0", _PERMISSIVE, "https://www.apache.org/licenses/LICENSE-2.0"),
    "mit": Licence("MIT", _PERMISSIVE, "https://opensource.org/license/mit"),
    "bsd-3-clause": Licence("BSD-3-Clause", _PERMISSIVE, "https://opensource.org/license/bsd-3-clause"),
    "cc-by-4.0": Licence("CC BY 4.0", _PERMISSIVE, "https://creativecommons.org/licenses/by/4.0/"),
    "cc-by-nc-4.0": Licence("CC BY-NC 4.0", _FORBIDS, "https://creativecommons.org/licenses/by-nc/4.0/"),
    "fair-noncommercial-research-license": Licence(
        "FAIR Noncommercial Research License", _FORBIDS, "https://github.com/facebookresearch/EUPE/blob/main/LICENSE.md"
    ),
    "apple-amlr": Licence(
        "Apple ML Research Model License",
        _FORBIDS,
        "https://github.com/apple/ml-mobileclip/blob/main/LICENSE_MODELS",
    ),
    "seer-license": Licence(
        "SEER License", _FORBIDS, "https://github.com/facebookresearch/vissl/blob/main/projects/SEER/MODEL_LICENSE.md"
    ),
    "dinov3-license": Licence(  # to be passed on with the weights and all derived from them; no military use
        "DINOv3 License", _CONDITIONS, "https://ai.meta.com/resources/models-and-libraries/dinov3-license/"
    ),
    # Apple's sample-code licence: no patent rights
    "apple-ascl": Licence(
        "Apple Sample Code License", _CONDITIONS, "https://github.com/apple/ml-aim/blob/main/LICENSE"
    ),
    "cvnets-license": Licence("CVNets licence", _CONDITIONS, "https://github.com/apple/ml-cvnets/blob/main/LICENSE"),
    "fastvit-license": Licence("FastViT licence", _CONDITIONS, "https://github.com/apple/ml-fastvit/blob/main/LICENSE"),
    "mobileone-license": Licence(
        "MobileOne licence", _CONDITIONS, "https://github.com/apple/ml-mobileone/blob/main/LICENSE"
    ),
    "nvidia-open-model-license": Licence(
        *("NVIDIA Open Model License", _CONDITIONS),
        "https://www.nvidia.com/en-us/agreements/enterprise-software/nvidia-open-model-license/",
    ),
    "gemma": Licence("Gemma Terms of Use", _CONDITIONS, "https://ai.google.dev/gemma/terms"),
}
# Those that the hub has a word for (https://huggingface.co/docs/hub/repositories-licenses)
HUB = {
    *("apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0", "cc-by-nc-4.0", "gemma", "apple-amlr", "apple-ascl"),
    "fair-noncommercial-research-license",
}
# Of a timm name -> the licence that its weights have; the first that matches counts. timm says the same (tested).
_OF_NAMES = (
    (r"\.(fc)?mae|_ijepa$|\.metaclip|_ssl_yfcc100m|_s?wsl_ig1b|\.swag_", "cc-by-nc-4.0"),
    (r"\.eupe_", "fair-noncommercial-research-license"),
    (r"[._](lvd1689m|sat493m)$", "dinov3-license"),
    (r"\.apple_mclip", "apple-amlr"),
    (r"\.seer", "seer-license"),
    (r"\.apple_pt|\.dfn\d", "apple-ascl"),
    (r"\.cvnets_", "cvnets-license"),
    (r"^fastvit_.*\.apple_", "fastvit-license"),
    (r"^mobileone_", "mobileone-license"),
    (r"\.c_radio", "nvidia-open-model-license"),
    (r"\.gemma3n", "gemma"),
    (r"^(cpubone|csatv2|(dla60_)?res2ne)", "unknown"),  # timm states none
)


def of(licence: str | None, name: str = "") -> Licence:
    """Of what timm calls ``licence``, e.g. ``cc-by-nc-4.0``; where that is None, of the weights of a timm ``name``.

    Weights whose tag is understood (pretraining_data), and that are not named here, are under a permissive one.
    """
    licence = _called(licence, name)
    if licence == "unknown":
        return UNKNOWN
    return LICENCES.get(licence.lower()) or Licence(licence, Use.UNKNOWN)


def front_matter(licence: str | None, name: str = "") -> dict[str, str]:
    """The same as a model card of the hub's states it: by the hub's word, or as ``other`` with a name and a link."""
    called = _called(licence, name).lower()
    if called in HUB:
        return {"license": called}
    known = LICENCES.get(called)
    if known is None or not known.url:
        return {}
    return {"license": "other", "license_name": called, "license_link": known.url}


def _called(licence: str | None, name: str) -> str:
    if licence is not None:
        return licence
    found = (known for pattern, known in _OF_NAMES if re.search(pattern, name))
    return next(found, "permissive" if pretraining_data.of_timm(name) else "unknown")
