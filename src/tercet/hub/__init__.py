"""Find a model: on the disk, in an installed data package, in a cache, on the hub.

Nothing is opened or run here. The first place that has a name wins:
    1. a folder or file of that path;
    2. an installed data package (entry-point group `tercet.models`; located, never imported);
    3. the hub's cache, also as a faster-whisper user has it there, and openai-whisper's own cache;
    4. the hub, unless it is switched off.
"""

from tercet.hub.caches import cached_snapshot
from tercet.hub.find import find_model, find_tokenizer, is_offline
from tercet.hub.layout import holds_model, missing_files, weight_patterns
from tercet.hub.packages import installed_models

__all__ = [
    "cached_snapshot",
    "find_model",
    "find_tokenizer",
    "holds_model",
    "installed_models",
    "is_offline",
    "missing_files",
    "weight_patterns",
]
