"""A stand-in until the helper's is merged."""


class Sentences:
    def feed(self, text: str) -> list[str]:
        return [text]

    def flush(self) -> list[str]:
        return []
