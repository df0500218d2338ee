"""Credentials as the environment has them."""

from __future__ import annotations

ENDPOINT = "https://account.r2.cloudflarestorage.com"

CREDENTIALS = {
    "AWS_S3_ENDPOINT_URL": ENDPOINT,
    "AWS_ACCESS_KEY_ID": "an-access-key",
    "AWS_SECRET_ACCESS_KEY": "a-secret",
    "AWS_SESSION_TOKEN": "a-token",
}
