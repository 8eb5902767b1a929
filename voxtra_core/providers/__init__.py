"""Parts for conversations: a chat model over the network, and, with the extra ``local``, everything without one."""

from .chat import OpenAIChat

__all__ = ["OpenAIChat"]
