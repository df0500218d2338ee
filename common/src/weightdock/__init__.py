"""Pretrained vision weights, mirrored into Cloudflare R2 and filled into GPU nodes from there."""

__version__ = "0.1.0"
