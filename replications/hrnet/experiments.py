"""Experiments of Sun et al. (CVPR 2019)."""

from replications.hrnet import ceilings, coco, counts, lspet, released, scaled

EXPERIMENTS = (
    counts.COUNTS,
    ceilings.CEILINGS,
    scaled.SCALED,
    scaled.RESOLUTION,
    lspet.REDUCED,
    lspet.FULL,
    released.RELEASED,
    coco.COCO,
)
