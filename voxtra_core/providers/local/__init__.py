"""All that a conversation needs without a key and without a network: behind the extra ``local``.

The libraries are loaded when something is made of them; without the extra that raises ``ImportError``, and says so.
Three of the parts block, for the time that they compute, and are run in a worker thread.
"""

from .activity import LocalActivity
from .grammar import DIGITS, LocalGrammar
from .recognition import LocalRecogniser
from .rules import Rule, RuleBasedModel
from .speech import LocalVoice

__all__ = ["DIGITS", "LocalActivity", "LocalGrammar", "LocalRecogniser", "LocalVoice", "Rule", "RuleBasedModel"]
