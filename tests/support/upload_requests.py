"""The requests of an upload, by what they do, for faults that are to strike one of them."""

from __future__ import annotations

from support.r2_double import (
    When,
)

REQUESTS = {
    "the manifest is read": When("GetObject", key="manifest.json"),
    "the store is listed": When("ListObjects"),
    "a small object is put": When("PutObject", key="small.bin"),
    "an upload is begun": When("CreateMultipartUpload"),
    "a part is sent": When("UploadPart", part=2),
    "an upload is completed": When("CompleteMultipartUpload"),
    "the manifest is read again": When("GetObject", key="manifest.json", nth=2),
    "the manifest is written": When("PutObject", key="manifest.json"),
}
