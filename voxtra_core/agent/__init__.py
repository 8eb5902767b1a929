"""Conversations: turn-taking, and the parts that they are made of. No I/O."""

from .providers import (
    ActivityDetector,
    Message,
    Model,
    ModelItem,
    ProviderWorld,
    Recogniser,
    SpeechItem,
    SpokenWord,
    ToolCall,
    ToolSpec,
    Transcript,
    TurnDetector,
    TurnSoFar,
    Voice,
)
from .web import Web, WebExchange, WebListener, WebPort, WebReply, WebRequest

__all__ = [
    "ActivityDetector",
    "Message",
    "Model",
    "ModelItem",
    "ProviderWorld",
    "Recogniser",
    "SpeechItem",
    "SpokenWord",
    "ToolCall",
    "ToolSpec",
    "Transcript",
    "TurnDetector",
    "TurnSoFar",
    "Voice",
    "Web",
    "WebExchange",
    "WebListener",
    "WebPort",
    "WebReply",
    "WebRequest",
]
