"""What can be done with a recording that is over. These modules reach for disks and networks, block, and are run in
threads; the core loads none of them before it is asked to.
"""

from .composite import CompositeSink
from .local import LocalFileSink
from .object_store import ObjectStoreSink
from .webhook import WebhookSink, signature_of, verify_signature

__all__ = ["CompositeSink", "LocalFileSink", "ObjectStoreSink", "WebhookSink", "signature_of", "verify_signature"]
